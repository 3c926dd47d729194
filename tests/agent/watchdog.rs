//! A process that makes no progress ends itself where it is asked to.

use std::time::Duration;

use crate::common::{NatsServer, flat, send, until};
use crate::{client, ready_agent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_worker_stands_still_ends_with_70_and_the_reason() {
    let server = NatsServer::plain();
    let further = [
        ("TECHNICAL_WATCHDOG_SECS", "1"),
        ("TA_FAILPOINT", "standstill=6.5"),
    ];
    let mut agent = ready_agent(&server, "one", &further);
    let client = client(&server).await;
    send(&client, &flat("A", 0, 6.5)).await;
    // longer than all the waiting here: the loop may be silent for 15 s, as /livez has it
    assert_eq!(agent.wait_exit(), 70);
    let line = agent.wait_log("the watchdog ends the process");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["exit_code"], 70);
    assert!(
        line["message"]
            .as_str()
            .unwrap()
            .contains("no progress for"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_suspended_or_whose_broker_is_away_is_left_alone() {
    let mut server = NatsServer::plain();
    let further = [("TECHNICAL_WATCHDOG_SECS", "1")];
    let mut agent = ready_agent(&server, "one", &further);
    agent.freeze();
    tokio::time::sleep(Duration::from_secs(20)).await;
    agent.thaw();
    until("/livez", || {
        (agent.try_get("/livez")?.status == 200).then_some(())
    });
    server.kill();
    tokio::time::sleep(Duration::from_secs(20)).await;
    agent.assert_alive();
    assert_eq!(agent.get("/livez").status, 200);
    server.restart();
    agent.wait_ready();
}
