//! The order of the bars of an array, and which of them are complete.
//!
//! An array may have the newest bar first. Complete bars of vendors come in the order in which they
//! are meant: one may revise another.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Content, Element, GENERIC};
use crate::market::{self, Finality, Timeframe, Timestamp};

/// Puts the elements of an array in the order of time, each series by itself.
pub(super) fn in_order(elements: Vec<Element<'_>>) -> Vec<Element<'_>> {
    let mut elements = market::in_order(elements, series);
    if elements.iter().any(is_until_next) {
        complete_older(&mut elements);
    }
    elements
}

fn is_until_next(element: &Element<'_>) -> bool {
    matches!(&element.content, Content::Bar(event) if event.finality == Finality::UntilNext)
}

fn series<'a>(element: &Element<'a>) -> Option<((Cow<'a, str>, Timeframe), Timestamp)> {
    match &element.content {
        Content::Bar(event) if element.dialect == GENERIC || is_until_next(element) => {
            let series = (event.symbol.clone(), event.timeframe);
            Some((series, event.bar.timestamp))
        }
        _ => None,
    }
}

/// Completes the bars that a later one of their series follows. Where a snapshot comes again, they
/// are known by that to be no updates of forming bars.
fn complete_older(elements: &mut [Element<'_>]) {
    let mut following = HashMap::new();
    for element in elements.iter_mut().rev() {
        let Some((series, time)) = series(element) else {
            continue;
        };
        let next = following.insert(series, time);
        if let Content::Bar(event) = &mut element.content
            && event.finality == Finality::UntilNext
            && next.is_some_and(|next| time < next)
        {
            event.finality = Finality::History;
        }
    }
}
