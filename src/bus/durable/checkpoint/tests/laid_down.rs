//! Checkpoints of every version by hand, from the description of the format and of postcard.

use super::*;

pub(super) fn number(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let group = (number % 128) as u8;
        number /= 128;
        if number == 0 {
            bytes.push(group);
            return bytes;
        }
        bytes.push(128 + group);
    }
}

fn double(value: f64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// State of an average over `period`: the values so far and their weighed sum.
fn average(period: u8, seen: u8, sum: f64) -> Vec<u8> {
    let alpha = 2.0 / (f64::from(period) + 1.0);
    [vec![period], double(alpha), vec![seen], double(sum)].concat()
}

struct After {
    bars: u8,
    sum: f64,
    changes: u8,
    gain: f64,
    loss: f64,
    rsi: Option<f64>,
}

fn state(after: &After) -> Vec<u8> {
    let rsi = after
        .rsi
        .map_or(vec![0], |rsi| [vec![1], double(rsi)].concat());
    [
        // RSI of two changes; flat prices read 0
        vec![2, after.changes],
        double(after.gain),
        double(after.loss),
        double(0.0),
        // MACD and its signal, before their first values
        average(12, 0, 0.0),
        average(26, 0, 0.0),
        average(9, 0, 0.0),
        // Bollinger bands, simple and exponential averages
        vec![20],
        double(2.0),
        vec![2],
        vec![50],
        average(12, after.bars, after.sum),
        average(26, after.bars, after.sum),
        // no further indicators; of the levels of this bar, the RSI is known
        vec![0],
        rsi,
        vec![0; 7],
        // no gap, published
        vec![0, 1],
    ]
    .concat()
}

/// Closes of 10, 12 and 11 in the first three minutes of 1970; in version 3, a forming bar of the
/// fourth; in version 4, the open bucket of the first five.
pub(super) fn laid_down(version: u8, fingerprint: u64) -> Vec<u8> {
    let minute = 60_000_000_000_u64;
    let column = |values: [f64; 3]| [vec![3], values.map(double).concat()].concat();
    let prices = column([10.0, 12.0, 11.0]);
    let times = [vec![3, 0], number(2 * minute), number(4 * minute)].concat();
    let volumes = column([100.0; 3]);
    let (within, behind) = if version == 1 {
        let within = [times, prices.repeat(4), volumes].concat();
        (within, vec![])
    } else {
        // no decimals, 10, +2, −1, nothing beside
        let prices = [0, 20, 4, 1, 0];
        let times = [vec![0], number(2 * minute), vec![2, 2]].concat();
        let volumes = vec![0, 200, 1, 0, 0, 0];
        (
            vec![0; 6],
            [vec![3], times, prices.repeat(4), volumes].concat(),
        )
    };
    // the bar of the fourth minute is forming: one of them, of the first series, without a source
    let forming = if version == 3 || version == 5 {
        let values = [11.0, 13.0, 11.0, 13.0, 100.0].map(double).concat();
        [vec![1, 0], number(6 * minute), values, vec![0]].concat()
    } else {
        vec![]
    };
    let derived = if version == 4 {
        let prices = |close| [10.0, 12.0, 10.0, close].map(double).concat();
        [
            // no forming bars; of one series, the first: not derived, and others are
            vec![0, 1, 0, 0, 1],
            // derived from minutes, the newest the third: a bucket of five minutes, seen since 1970
            vec![2, b'1', b'm', 1],
            number(4 * minute),
            vec![1, 2, b'5', b'm', 0],
            // its bucket, of five parts, is open
            vec![1, 0],
            number(10 * minute),
            vec![5, 1],
            // two parts of volume 200 in one limb at place 0, and with the newest three of 300
            vec![2],
            prices(12.0),
            [vec![0, 1], number(200)].concat(),
            vec![3],
            prices(11.0),
            [vec![0, 1], number(300)].concat(),
        ]
        .concat()
    } else if version == 5 {
        // none; and of one series that began with a reset, the first: number 300
        vec![0, 1, 0, 0xac, 2]
    } else {
        vec![]
    };
    // changes of +2 and −1: sums of gains and losses, then their means
    let before = After {
        bars: 2,
        sum: 22.0,
        changes: 1,
        gain: 2.0,
        loss: 0.0,
        rsi: None,
    };
    let after = After {
        bars: 3,
        sum: 33.0,
        changes: 2,
        gain: 1.0,
        loss: 0.5,
        rsi: Some(100.0 * (1.0 / 1.5)),
    };
    let content = [
        // of this configuration, up to message 7 of stream `o` and two bars of the next
        number(fingerprint),
        vec![1, b'o', 7, 2],
        // one series
        vec![1],
        number(fingerprint),
        vec![1, b'A', 2, b'1', b'm'],
        number(200),
        within,
        state(&before),
        state(&after),
        // three bars, none missing, never corrected, without a source, the last came at 5 ns
        vec![3, 0, 0, 0, 10],
        behind,
        forming,
        derived,
    ];
    sealed(version, &content.concat())
}

pub(super) fn sealed(version: u8, content: &[u8]) -> Vec<u8> {
    let checksum = xxh3_64(content).to_le_bytes();
    [b"TACKPT\0", &[version][..], &checksum, content].concat()
}
