//! Derived bars of a series that is rebuilt with a history.

use crate::engine::{Engine, Series};
use crate::market::{SeriesKey, Timeframe};

impl Engine {
    /// Closes the buckets of a series that are closed in `live`, the same series elsewhere.
    pub(in crate::engine) fn close_as(&mut self, live: &Series) {
        let Some(id) = self.index.get(live.key()).copied() else {
            return;
        };
        let (Some(deriving), Some(series)) = (&mut self.deriving, self.series[id.index()].as_mut())
        else {
            return;
        };
        if let (Some(gathered), Some(live)) = (&mut series.derived.gathered, &live.derived.gathered)
        {
            let open = gathered.open_buckets();
            gathered.close_as(live, &mut deriving.found);
            deriving.open_buckets -= open - gathered.open_buckets();
            deriving.queue(series);
        }
    }

    /// The timeframes that the source sends of a symbol beside that of `key`.
    pub(in crate::engine) fn fed_beside(&self, key: &SeriesKey) -> Vec<Timeframe> {
        let fed = self
            .deriving
            .as_ref()
            .and_then(|deriving| deriving.fed.get(&key.symbol));
        let others = fed.into_iter().flatten().copied();
        others.filter(|one| *one != key.timeframe).collect()
    }
}
