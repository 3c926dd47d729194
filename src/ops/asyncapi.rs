//! The AsyncAPI document: every subject of the agent with default configuration, what is on
//! it, and which headers it carries.

use serde_json::{Value, json};

use schemars::{JsonSchema, schema_for};

use super::durable::Statistics;
use super::heartbeat::Heartbeat;
use super::query::{SeriesDetail, StatusReport};
use super::receipts::FeedAnswer;
use crate::wire::{Reason, headers, schema};

/// The AsyncAPI 3 document.
#[must_use]
pub fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "technical-analysis-agent",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Turns market data on NATS into technical-analysis signals. Subjects are those of the default configuration. In subjects every byte of a symbol other than ASCII letters, digits, `-` and `_` is percent-encoded; payloads carry it plainly.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "localhost:4222",
                "protocol": "nats",
                "description": "`NATS_URL`",
            },
        },
        "channels": channels(),
        "operations": operations(),
        "components": {
            "parameters": {
                "symbol": { "description": "The instrument, percent-encoded." },
                "timeframe": { "description": "The bar length, such as 1m, 4h or 1d." },
                "agent": { "description": "`TECHNICAL_AGENT_NAME`" },
                "feed": { "description": "The id of a run of `feed`, as in the header Ta-Feed." },
            },
            "messages": messages(),
            "schemas": {
                "MarketData": embedded(schema::market_data(), "MarketData"),
                "Signal": embedded(schema::signal(), "Signal"),
                "Heartbeat": embedded(of::<Heartbeat<'_>>(), "Heartbeat"),
                "Status": embedded(of::<StatusReport>(), "Status"),
                "Statistics": embedded(of::<Statistics<'_>>(), "Statistics"),
                "Series": embedded(of::<SeriesDetail>(), "Series"),
                "Feed": embedded(of::<FeedAnswer>(), "Feed"),
            },
        },
    })
}

fn of<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}

fn channels() -> Value {
    let parameter = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    let series = json!({ "symbol": parameter("symbol"), "timeframe": parameter("timeframe") });
    json!({
        "marketData": channel(
            "raw.market_data.price",
            "Bars that name their symbol in the payload (`TECHNICAL_SUBJECTS`).",
            &json!({}),
            &["MarketData"],
        ),
        "marketDataOfSymbol": channel(
            "raw.market_data.price.{symbol}",
            "Bars of one symbol (`TECHNICAL_SUBJECTS`).",
            &json!({ "symbol": parameter("symbol") }),
            &["MarketData"],
        ),
        "marketDataOfSeries": channel(
            "raw.market_data.price.{symbol}.{timeframe}",
            "Bars of one series (`TECHNICAL_SUBJECTS`).",
            &series,
            &["MarketData", "Reset", "History", "Mark"],
        ),
        "signals": channel(
            "insight.technical.{symbol}.{timeframe}",
            "Signals of complete bars (`TECHNICAL_PUBLISH_SUBJECT`).",
            &series,
            &["Signal"],
        ),
        "formingSignals": channel(
            "insight.forming.technical.{symbol}.{timeframe}",
            "Provisional signals of bars still forming, never stored (`TECHNICAL_FORMING_SUBJECT`).",
            &series,
            &["FormingSignal"],
        ),
        "deadLetters": channel(
            "dead.technical",
            "Refused input as it came (`TECHNICAL_DEAD_LETTER_SUBJECT`).",
            &json!({}),
            &["DeadLetter"],
        ),
        "heartbeat": channel(
            "agents.technical.heartbeat.{agent}",
            "The state of one agent, every 5 s.",
            &json!({ "agent": parameter("agent") }),
            &["Heartbeat"],
        ),
        "status": channel(
            "technical.status",
            "Service endpoint: the status of the agents.",
            &json!({}),
            &["Request"],
        ),
        "series": channel(
            "technical.series.{symbol}.{timeframe}",
            "Service endpoint: the latest signal and the window of a series, answered by its owner.",
            &series,
            &["Request"],
        ),
        "feed": channel(
            "technical.feed.{feed}",
            "Service endpoint: the outcome of the bars that one run of `feed` published, answered by every agent.",
            &json!({ "feed": parameter("feed") }),
            &["Request"],
        ),
        "statistics": channel(
            "$SRV.STATS.technical-analysis",
            "Statistics of the NATS service, with how delivery stands; answered by every agent.",
            &json!({}),
            &["Request"],
        ),
        "reply": {
            "address": null,
            "description": "The inbox of a request.",
            "messages": messages_of(&["Status", "Series", "Feed", "Statistics"]),
        },
    })
}

fn channel(address: &str, description: &str, parameters: &Value, messages: &[&str]) -> Value {
    json!({
        "address": address,
        "description": description,
        "parameters": parameters,
        "messages": messages_of(messages),
    })
}

fn messages_of(names: &[&str]) -> Value {
    let reference = |name: &&str| {
        let message = json!({ "$ref": format!("#/components/messages/{name}") });
        ((*name).to_owned(), message)
    };
    Value::Object(names.iter().map(reference).collect())
}

fn operations() -> Value {
    let channel = |name: &str| json!({ "$ref": format!("#/channels/{name}") });
    let receive = |name: &str| json!({ "action": "receive", "channel": channel(name) });
    let send = |name: &str| json!({ "action": "send", "channel": channel(name) });
    let answer = |name: &str, reply: &str| {
        json!({
            "action": "receive",
            "channel": channel(name),
            "messages": [{ "$ref": format!("#/channels/{name}/messages/Request") }],
            "reply": {
                "channel": channel("reply"),
                "messages": [{ "$ref": format!("#/channels/reply/messages/{reply}") }],
            },
        })
    };
    json!({
        "receiveMarketData": receive("marketData"),
        "receiveMarketDataOfSymbol": receive("marketDataOfSymbol"),
        "receiveMarketDataOfSeries": receive("marketDataOfSeries"),
        "sendSignals": send("signals"),
        "sendFormingSignals": send("formingSignals"),
        "sendDeadLetters": send("deadLetters"),
        "sendHeartbeat": send("heartbeat"),
        "answerStatus": answer("status", "Status"),
        "answerSeries": answer("series", "Series"),
        "answerFeed": answer("feed", "Feed"),
        "answerStatistics": answer("statistics", "Statistics"),
    })
}

fn messages() -> Value {
    let id = |description: &str| json!({ "type": "string", "minLength": 1, "maxLength": 64, "description": description });
    let text = |what: &str| json!({ "type": "string", "description": what });
    let digits =
        |what: &str| json!({ "type": "string", "pattern": "^[0-9]+$", "description": what });
    let trace = text("W3C trace context, carried through from the input.");
    let provenance = json!({
        headers::AGENT: text("The process that published."),
        headers::GROUP: text("Its group."),
        headers::VERSION: text("Its version."),
        headers::INPUT_SEQ: digits("Durable: the stream sequence of the bar."),
        headers::LATENCY_US: digits("Microseconds from receipt to publish."),
        headers::TRACEPARENT: trace,
    });
    let mut complete = provenance.clone();
    complete[headers::MESSAGE_ID] =
        text("Unique per group, series, bar, revision and reset of the series.");
    let signal = json!({ "$ref": "#/components/schemas/Signal" });
    json!({
        "MarketData": {
            "headers": { "type": "object", "properties": {
                headers::TRACEPARENT: text("W3C trace context."),
                headers::REDRIVEN: text("On a bar that was a dead letter: the stream and sequence of the letter."),
                headers::FEED: text("On a bar that `feed` published: the id of the run."),
            } },
            "payload": { "$ref": "#/components/schemas/MarketData" },
        },
        "Mark": {
            "summary": "A control message in order with the bars: it closes derived bars that ended before its time.",
            "payload": {
                "type": "object",
                "required": ["mark"],
                "additionalProperties": false,
                "properties": { "mark": {
                    "type": "string", "format": "date-time",
                    "description": "The current time."
                } },
            },
        },
        "Reset": {
            "summary": "A control message in order with the bars: it resets the series.",
            "payload": {
                "type": "object",
                "required": ["reset"],
                "additionalProperties": false,
                "properties": { "reset": {
                    "type": "object",
                    "required": ["symbol", "timeframe"],
                    "additionalProperties": false,
                    "properties": {
                        "symbol": text("The instrument, plainly."),
                        "timeframe": text("The bar length."),
                        "id": id("Distinguishes this reset from others of the series."),
                    },
                } },
            },
        },
        "History": {
            "summary": "A control message in order with the bars: a part of a history, with `bars`, or its end, with `parts`.",
            "payload": {
                "type": "object",
                "required": ["history"],
                "additionalProperties": false,
                "properties": { "history": {
                    "type": "object",
                    "required": ["symbol", "timeframe", "id"],
                    "oneOf": [{ "required": ["part", "bars"] }, { "required": ["parts"] }],
                    "additionalProperties": false,
                    "properties": {
                        "symbol": text("The instrument, plainly."),
                        "timeframe": text("The bar length."),
                        "id": id("Distinguishes this history from others of the series."),
                        "part": { "type": "integer", "minimum": 0, "description": "The number of the part." },
                        "bars": {
                            "type": "array",
                            "description": "Open time, open, high, low, close and volume of each bar.",
                            "items": { "type": "array", "minItems": 6, "maxItems": 6 },
                        },
                        "forming": {
                            "type": "boolean",
                            "description": "True if the last of the bars is complete only when a later one comes.",
                        },
                        "parts": { "type": "integer", "minimum": 0, "description": "The number of parts." },
                    },
                } },
            },
        },
        "Signal": {
            "summary": "A pure function of the bars of its series and the configuration.",
            "headers": { "type": "object", "properties": complete },
            "payload": signal,
        },
        "FormingSignal": {
            "summary": "A signal with `final` false.",
            "headers": { "type": "object", "properties": provenance },
            "payload": signal,
        },
        "DeadLetter": {
            "summary": "What was refused, byte for byte: a message, or one element of its array.",
            "contentType": "application/octet-stream",
            "headers": {
                "type": "object",
                "required": [headers::REASON, headers::DETAIL, headers::SUBJECT, headers::AGENT],
                "properties": {
                    headers::REASON: { "type": "string", "enum": Reason::ALL.map(Reason::name) },
                    headers::DETAIL: text("What was wrong, what to do, and the command that explains such messages."),
                    headers::SUBJECT: text("The subject it came on."),
                    headers::AGENT: text("The process that refused it."),
                    headers::INPUT_SEQ: digits("Durable: its stream sequence."),
                    headers::TRUNCATED: { "const": "true", "description": "It is not whole." },
                },
            },
            "payload": true,
        },
        "Heartbeat": {
            "summary": "State, owned partitions, series, last-processed time and lag; in durable delivery also moves, age of what no checkpoint has, and commits.",
            "payload": { "$ref": "#/components/schemas/Heartbeat" },
        },
        "Request": { "summary": "Without a payload." , "payload": true },
        "Status": { "payload": { "$ref": "#/components/schemas/Status" } },
        "Statistics": {
            "summary": "As the service protocol has it (io.nats.micro.v1.stats_response); `data` is ours, the same on every endpoint.",
            "payload": {
                "type": "object",
                "properties": {
                    "endpoints": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": { "data": { "$ref": "#/components/schemas/Statistics" } },
                        },
                    },
                },
            },
        },
        "Feed": { "payload": { "$ref": "#/components/schemas/Feed" } },
        "Series": {
            "summary": "Without a payload, and with the header Nats-Service-Error-Code 404, when the owner has no such series.",
            "payload": { "$ref": "#/components/schemas/Series" },
        },
    })
}

/// A schema as a component: references to its own definitions find them where it stands now.
fn embedded(mut schema: Value, name: &str) -> Value {
    fn rebase(value: &mut Value, root: &str) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    match value {
                        Value::String(target) if key == "$ref" => {
                            if let Some(path) = target.strip_prefix("#/") {
                                *target = format!("{root}/{path}");
                            }
                        }
                        other => rebase(other, root),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| rebase(item, root)),
            _ => {}
        }
    }
    rebase(&mut schema, &format!("#/components/schemas/{name}"));
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    match value.as_str() {
                        Some(target) if key == "$ref" => found.push(target.to_owned()),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn every_parameter_of_an_address_is_described() {
        let document = document();
        for (name, channel) in document["channels"].as_object().unwrap() {
            let address = channel["address"].as_str().unwrap_or_default();
            let named: Vec<_> = address
                .split('.')
                .filter_map(|t| t.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let described = channel["parameters"].as_object();
            assert_eq!(
                described.map_or(0, serde_json::Map::len),
                named.len(),
                "{name}"
            );
            assert!(
                named.iter().all(|n| described.unwrap().contains_key(*n)),
                "{name}"
            );
        }
    }

    /// `UPDATE_DOCS=1 cargo test documents` rewrites them.
    #[test]
    fn the_documents_are_what_the_types_generate() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for (file, value) in [
            ("schema/market-data.schema.json", schema::market_data()),
            ("schema/signal.schema.json", schema::signal()),
            ("asyncapi.json", document()),
        ] {
            let path = docs.join(file);
            let text = format!("{}\n", serde_json::to_string_pretty(&value).unwrap());
            if std::env::var_os("UPDATE_DOCS").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let written = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(
                written, text,
                "docs/{file} is out of date: UPDATE_DOCS=1 cargo test documents"
            );
        }
    }
}
