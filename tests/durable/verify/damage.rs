//! Streams that are damaged after the agents have stored them: each fault is found at its place.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_the_streams_is_found_in_its_place() {
    let (server, js, _) = judged_market(&[]).await;
    let all = signals(&js).await;
    let refused = letters(&js).await;
    let mut totals = [0; 5];

    // a signal is taken away: the first of its series, one in the middle, the last
    let series = of(&all, "S2");
    for at in [0, series.len() / 2, series.len() - 1] {
        delete(&js, "TECHNICAL_SIGNALS", series[at].seq).await;
        totals[0] += 1;
        let verified = verify(&server);
        assert_eq!((verified.code, verified.totals()), (65, totals), "{at}");
        let missing = verified.list("missing");
        let found = missing.iter().find(|one| is_about(one, &series[at]));
        let found = found.unwrap_or_else(|| panic!("{missing:#?}"));
        assert_eq!(found["kind"], "signal");
        assert_eq!(found["bars_stream"], "TECHNICAL_BARS");
        let input = series[at].header("Ta-Input-Seq").expect("a bar");
        assert_eq!(found["bar_sequence"].to_string(), input);
    }

    // a dead letter is taken away
    let letter = &refused[refused.len() / 2];
    delete(&js, "TECHNICAL_SIGNALS", letter.seq).await;
    totals[0] += 1;
    let verified = verify(&server);
    assert_eq!((verified.code, verified.totals()), (65, totals));
    let missing = verified.list("missing");
    let found = missing.iter().find(|one| one["kind"] == "dead_letter");
    let found = found.unwrap_or_else(|| panic!("{missing:#?}"));
    let input = letter.header("Ta-Input-Seq").expect("a message");
    assert_eq!(found["bar_sequence"].to_string(), input);
    assert_eq!(
        found["reason"],
        letter.header("Ta-Reason").expect("a reason")
    );

    // a second copy under another message id, with and without the headers of an agent
    let series = of(&all, "S3");
    for (at, headers) in [
        (2, renamed(&series[2].headers, "copy")),
        (series.len() - 1, HeaderMap::new()),
    ] {
        let copy = &series[at];
        let seq = publish(&js, &copy.subject, headers, copy.payload.clone()).await;
        totals[1] += 1;
        let verified = verify(&server);
        assert_eq!((verified.code, verified.totals()), (65, totals));
        let doubled = verified.list("doubled");
        let found = doubled.iter().find(|one| one["sequence"] == seq);
        let found = found.unwrap_or_else(|| panic!("{doubled:#?}"));
        assert!(is_about(found, copy), "{found:#}");
    }

    // a differing value, in the last signal of its series, so that its place is right
    let series = of(&all, "S4");
    let last = &series[series.len() - 1];
    let altered = payload(last).to_string();
    let rsi = payload(last)["rsi"].as_f64().expect("a value");
    let text = String::from_utf8(last.payload.clone()).expect("UTF-8");
    assert_eq!(serde_json::from_str::<Value>(&altered).unwrap()["rsi"], rsi);
    let forged = text.replace(&format!("\"rsi\":{}", payload(last)["rsi"]), "\"rsi\":12.5");
    assert_ne!(text, forged);
    delete(&js, "TECHNICAL_SIGNALS", last.seq).await;
    let headers = renamed(&last.headers, "altered");
    let seq = publish(&js, &last.subject, headers, forged.into_bytes()).await;
    totals[2] += 1;
    let verified = verify(&server);
    assert_eq!((verified.code, verified.totals()), (65, totals));
    let found = &verified.list("different")[0];
    assert_eq!(found["sequence"], seq);
    assert!(is_about(found, last), "{found:#}");
    assert_eq!(
        found["fields"],
        json!([{"field": "rsi", "expected": rsi, "found": 12.5}])
    );

    // signals that nobody computed: for a bar before its series was old enough, and for no series
    let mut early = payload(&series[0]);
    early["timestamp"] = json!("2023-11-14T22:13:20Z");
    let mut unknown = early.clone();
    unknown["symbol"] = json!("NEVER");
    for (signal, headers) in [
        (early, renamed(&series[0].headers, "early")),
        (unknown, HeaderMap::new()),
    ] {
        let symbol = signal["symbol"].as_str().expect("a symbol");
        let subject = format!("insight.technical.{symbol}.1m");
        let seq = publish(&js, &subject, headers, signal.to_string().into_bytes()).await;
        totals[2] += 1;
        let verified = verify(&server);
        assert_eq!((verified.code, verified.totals()), (65, totals));
        let different = verified.list("different");
        let found = different.iter().find(|one| one["sequence"] == seq);
        assert_eq!(found.unwrap()["timestamp"], signal["timestamp"]);
    }
    // messages that are no signals
    let seq = publish(
        &js,
        "insight.technical.S2.1m",
        HeaderMap::new(),
        b"hello".to_vec(),
    )
    .await;
    totals[2] += 1;
    let verified = verify(&server);
    assert_eq!((verified.code, verified.totals()), (65, totals));
    let different = verified.list("different");
    assert!(different.iter().any(|one| one["sequence"] == seq));

    // a dead letter with another reason, and one for a good message
    let letter = &refused[2];
    delete(&js, "TECHNICAL_SIGNALS", letter.seq).await;
    let mut headers = renamed(&letter.headers, "other reason");
    headers.insert("Ta-Reason", "empty_promise");
    let seq = publish(&js, "dead.technical", headers, letter.payload.clone()).await;
    let mut headers = renamed(&letter.headers, "good bar");
    let input = series[3].header("Ta-Input-Seq").expect("a bar");
    headers.insert("Ta-Input-Seq", input.as_str());
    headers.insert("Ta-Subject", "raw.market_data.price.S4.1m");
    let good = publish(&js, "dead.technical", headers, series[3].payload.clone()).await;
    totals[2] += 2;
    let verified = verify(&server);
    assert_eq!((verified.code, verified.totals()), (65, totals));
    let different = verified.list("different");
    for seq in [seq, good] {
        let found = different.iter().find(|one| one["sequence"] == seq);
        assert_eq!(found.unwrap()["kind"], "dead_letter");
    }

    // two signals swap their places
    let series = of(&all, "S5");
    let (first, second) = (&series[series.len() - 2], &series[series.len() - 1]);
    for one in [first, second] {
        delete(&js, "TECHNICAL_SIGNALS", one.seq).await;
    }
    let mut seqs = Vec::new();
    for one in [second, first] {
        let headers = renamed(&one.headers, &format!("swapped {}", one.seq));
        seqs.push(publish(&js, &one.subject, headers, one.payload.clone()).await);
    }
    totals[3] += 1;
    let verified = verify(&server);
    assert_eq!((verified.code, verified.totals()), (65, totals));
    let found = &verified.list("out_of_order")[0];
    assert_eq!(found["sequence"], seqs[1]);
    assert!(is_about(found, first), "{found:#}");

    // people see the first of each with their places
    let text = run(&server.url(), &[], &[]);
    assert_eq!(text.code, 65);
    for shown in [
        "a promise is BROKEN".to_owned(),
        format!("rsi: expected {rsi}, found 12.5"),
        format!("TECHNICAL_SIGNALS #{} S5 1m", seqs[1]),
    ] {
        assert!(text.stdout.contains(&shown), "{shown}: {}", text.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_that_is_deleted_from_the_middle_is_a_hole_and_nothing_else() {
    let (server, js, _) = judged_market(&[]).await;
    let series = of(&signals(&js).await, "S2");
    let hole: u64 = series[series.len() / 2]
        .header("Ta-Input-Seq")
        .and_then(|seq| seq.parse().ok())
        .expect("a bar");
    delete(&js, "TECHNICAL_BARS", hole).await;
    let verified = verify(&server);
    assert_eq!((verified.code, verified.totals()), (65, [0, 0, 0, 0, 1]));
    let found = &verified.list("holes")[0];
    assert_eq!(found["stream"], "TECHNICAL_BARS");
    assert_eq!(found["sequence"], hole);
    // the signals computed from it are not reported
    let report = verified.report();
    let skipped = report["not_checkable"].as_object().expect("reasons");
    assert!(!skipped.is_empty(), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_within_bounds() {
    let unreachable = format!("nats://127.0.0.1:{}", crate::common::free_port());
    let start = Instant::now();
    let verified = run(&unreachable, &["--json"], &[("NATS_CONNECT_TIMEOUT", "1")]);
    assert_eq!(verified.code, 69, "{}", verified.all);
    assert!(verified.all.contains("no connection to NATS"));
    assert!(start.elapsed() < PATIENCE);

    let plain = NatsServer::start(crate::common::Options::default());
    let verified = verify(&plain);
    assert_eq!(verified.code, 69, "{}", verified.all);
    assert!(verified.all.contains("no JetStream"), "{}", verified.all);

    let server = NatsServer::jetstream();
    let verified = verify(&server);
    assert_eq!(verified.code, 69, "{}", verified.all);
    let told = "there is no stream TECHNICAL_BARS";
    assert!(verified.all.contains(told), "{}", verified.all);

    let mut running = agent(&server, &[]);
    running.wait_ready();
    for (more, told) in [
        (("TECHNICAL_SIGNALS_STREAM", "OTHER"), "no stream OTHER"),
        (
            ("TECHNICAL_BARS_STREAM", "KV_TECHNICAL_SIGNALS_GROUPS"),
            "was not made by an agent",
        ),
        (
            ("TECHNICAL_PUBLISH_SUBJECT", "elsewhere.{symbol}"),
            "does not store elsewhere.*",
        ),
    ] {
        let verified = run(&server.url(), &[], &[more]);
        assert_eq!(verified.code, 69, "{}", verified.all);
        assert!(verified.all.contains(told), "{}", verified.all);
        assert!(verified.all.contains("TECHNICAL_"), "{}", verified.all);
    }
    // streams without a bar hold no fault
    let report = clean(&verify(&server));
    assert_eq!(
        (&report["bars"], &report["signals"]),
        (&json!(0), &json!(0))
    );
    for options in [["--from", "soon"], ["--to", "12"]] {
        assert_eq!(run(&server.url(), &options, &[]).code, 64);
    }
    let broken = run(&server.url(), &[], &[("TECHNICAL_RSI_PERIOD", "0")]);
    assert_eq!(broken.code, 78);
}
