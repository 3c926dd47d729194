//! Messages of vendors, with the dialect that reads them.

use serde_json::Value;

use crate::entries;

#[test]
fn a_vendors_message_is_told_with_the_dialect_that_reads_it() {
    let binance = r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1704067260005,"s":"BTCUSDT","k":{"t":1704067200000,"T":1704067259999,"s":"BTCUSDT","i":"1m","f":100,"L":200,"o":"42314.00","c":"42331.90","h":"42335.80","l":"42289.60","v":"289.641","n":3310,"x":true,"q":"12256155.27","V":"175.2","Q":"7414459.85","B":"0"}}}"#;
    let kraken = r#"{"channel":"ohlc","type":"update","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"vwap":0.5626,"trades":12,"volume":30927.68,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,"timestamp":"2023-10-04T16:30:00.000000Z"}]}"#;
    let heartbeat = r#"{"channel":"heartbeat"}"#;
    let text = [binance, kraken, heartbeat].join("\n");
    let (code, found) = entries(&text, &[], &[]);
    assert_eq!((code, found.len()), (Some(0), 3), "{found:?}");
    assert_eq!(found[0]["dialect"], "binance");
    assert_eq!(found[0]["timestamp"], "2024-01-01T00:00:00Z");
    assert_eq!(found[0]["timeframe"], "1m");
    assert_eq!(found[0]["close"], 42_331.9);
    assert_eq!(found[0]["final"], true);
    for (field, path) in [
        ("open", "data.k.o"),
        ("high", "data.k.h"),
        ("low", "data.k.l"),
        ("close", "data.k.c"),
        ("volume", "data.k.v"),
        ("timestamp", "data.k.t"),
        ("timeframe", "data.k.i"),
        ("final", "data.k.x"),
    ] {
        assert_eq!(found[0]["fields"][field], path, "{field}: {}", found[0]);
    }
    assert_eq!(found[1]["dialect"], "kraken");
    assert_eq!(found[1]["timestamp"], "2023-10-04T16:25:00Z");
    assert_eq!(found[1]["fields"]["timestamp"], "data[0].interval_begin");
    assert_eq!(found[1]["fields"]["symbol"], "data[0].symbol");
    assert_eq!(found[1]["final"], false);
    assert_eq!(found[2]["kind"], "ignored");
    assert_eq!(found[2]["dialect"], "kraken");
    assert_eq!(found[2]["reason"], "heartbeat");
}

#[test]
fn messages_of_vendors_are_told_with_their_dialect() {
    let lines = [
        r#"{"channel":"ohlc","type":"update","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"volume":30927.5,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,"timestamp":"2023-10-04T16:30:00.000000Z"}]}"#,
        r#"{"channel":"heartbeat"}"#,
        r#"{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}"#,
        r#"{"T":"u","S":"SPY","o":388.985,"h":389.14,"l":388.975,"c":389.12,"v":49400,"t":"2021-02-22T19:15:00Z"}"#,
        r#"{"channel":"ohlcv","data":[{"interval_begin":"x"}]}"#,
    ];
    let (code, found) = entries(&lines.join("\n"), &["-"], &[]);
    assert_eq!((code, found.len()), (Some(0), 5));
    let told = |at: usize, names: &[&str]| {
        let entry: &Value = &found[at];
        names
            .iter()
            .map(|name| entry[*name].to_string().replace('"', ""))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        told(
            0,
            &[
                "dialect",
                "kind",
                "symbol",
                "timeframe",
                "timestamp",
                "final",
                "revises"
            ]
        ),
        "kraken bar MATIC/USD 5m 2023-10-04T16:25:00Z false false"
    );
    assert_eq!(found[0]["fields"]["timestamp"], "data[0].interval_begin");
    assert_eq!(
        told(1, &["dialect", "kind", "reason"]),
        "kraken ignored heartbeat"
    );
    assert_eq!(
        told(2, &["dialect", "kind", "reason"]),
        "binance refused trade"
    );
    assert_eq!(
        told(3, &["dialect", "kind", "final", "revises"]),
        "alpaca bar true true"
    );
    assert_eq!(
        told(4, &["dialect", "kind", "reason"]),
        "generic refused unknown_shape"
    );
    let because = found[0]["because"].as_str().unwrap();
    assert!(because.contains("`channel`: ohlc"), "{because}");
}
