//! Messages that are larger than what the server or the stream takes.
//!
//! The server says of a batch only that it is incomplete, and nothing of the message that it did
//! not take.

use async_nats::HeaderMap;

use super::Common;
use crate::bus::intake::Outgoing;

/// What the headers that make a message a part of a batch add to it.
const IN_BATCH: usize = 64;

/// Why `outgoing` cannot be stored, if it is the size of one of them.
pub(super) async fn too_large(common: &Common, outgoing: &[Outgoing]) -> Option<String> {
    let largest = outgoing.iter().map(size).max()? + IN_BATCH;
    let most = common.client.max_payload();
    if largest > most {
        return Some(format!(
            "a message of {largest} bytes is to be stored, and the server takes {most}; raise its \
             max_payload"
        ));
    }
    let name = &common.streams.signals;
    let asked = common.js.get_stream(name);
    let stream = common.link.unless_lost(asked).await?.ok()?;
    // 0 and -1 are no limit
    let most = usize::try_from(stream.cached_info().config.max_message_size).ok()?;
    (most > 0 && largest > most).then(|| {
        format!(
            "a message of {largest} bytes is to be stored, and the stream {name} takes {most}; \
             `nats stream edit {name} --max-msg-size=-1` lifts that"
        )
    })
}

/// As the server counts it: headers and payload.
fn size(one: &Outgoing) -> usize {
    headers(&one.headers) + one.payload.len()
}

fn headers(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values
            .iter()
            .map(move |value| name.len() + value.as_str().len() + ": \r\n".len())
    });
    lines.sum::<usize>() + "NATS/1.0\r\n\r\n".len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_counted_as_they_are_sent() {
        let mut map = HeaderMap::new();
        map.insert("Ta-Group", "desk");
        map.append("Ta-Group", "other");
        // NATS/1.0, Ta-Group: desk, Ta-Group: other, each with its end of line, and an empty line
        assert_eq!(headers(&map), 10 + 16 + 17 + 2);
    }
}
