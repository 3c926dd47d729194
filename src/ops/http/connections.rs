//! The open connections, and which of them may be closed to make room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use tokio::task::AbortHandle;

/// True if a connection has a request that is being answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Answering(Arc<AtomicBool>);

impl Answering {
    /// The routes, with each request noted for as long as its answer takes.
    pub fn watch(&self, router: Router) -> Router {
        let answering = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let answering = answering.clone();
            async move {
                answering.0.store(true, Ordering::Relaxed);
                let response = next.run(request).await;
                answering.0.store(false, Ordering::Relaxed);
                response
            }
        }))
    }
}

/// Connections in the order in which they were opened.
#[derive(Debug)]
pub(super) struct Open {
    most: usize,
    list: VecDeque<(AbortHandle, Answering)>,
}

impl Open {
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            list: VecDeque::new(),
        }
    }

    /// Returns whether there is room for one more, for which the oldest that is not being answered is
    /// closed if need be.
    pub fn make_room(&mut self) -> bool {
        self.list.retain(|(task, _)| !task.is_finished());
        if self.list.len() < self.most {
            return true;
        }
        let idle = |(_, answering): &(AbortHandle, Answering)| !answering.0.load(Ordering::Relaxed);
        let Some((task, _)) = self
            .list
            .iter()
            .position(idle)
            .and_then(|at| self.list.remove(at))
        else {
            return false;
        };
        task.abort();
        true
    }

    pub fn add(&mut self, task: AbortHandle, answering: Answering) {
        self.list.push_back((task, answering));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn the_oldest_that_is_not_being_answered_makes_room() {
        let mut open = Open::new(2);
        let (busy, idle) = (tokio::spawn(pending::<()>()), tokio::spawn(pending::<()>()));
        let answering = Answering::default();
        answering.0.store(true, Ordering::Relaxed);
        assert!(open.make_room());
        open.add(busy.abort_handle(), answering.clone());
        assert!(open.make_room());
        open.add(idle.abort_handle(), Answering::default());
        assert!(open.make_room());
        assert!(idle.await.unwrap_err().is_cancelled());
        assert!(!busy.is_finished());
        let another = tokio::spawn(pending::<()>());
        open.add(another.abort_handle(), answering.clone());
        // both are being answered
        assert!(!open.make_room());
        answering.0.store(false, Ordering::Relaxed);
        assert!(open.make_room());
        assert!(busy.await.unwrap_err().is_cancelled());
    }
}
