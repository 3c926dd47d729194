//! Notes which sources and compiler a binary was made of. Without git it says so and goes on.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=BUILD_GIT");
    println!("cargo:rerun-if-changed=build.rs");
    let head = output("git", &["rev-parse", "--git-path", "logs/HEAD"]);
    if let Some(path) = head.filter(|path| std::path::Path::new(path).exists()) {
        println!("cargo:rerun-if-changed={path}");
    }
    let git = std::env::var("BUILD_GIT")
        .ok()
        .filter(|text| !text.is_empty())
        .or_else(|| output("git", &["describe", "--always", "--dirty", "--tags"]));
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let rustc = output(&compiler, &["--version"]);
    println!(
        "cargo:rustc-env=BUILD_GIT={}",
        git.as_deref().unwrap_or("unknown")
    );
    println!(
        "cargo:rustc-env=BUILD_RUSTC={}",
        rustc.as_deref().unwrap_or("unknown")
    );
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
