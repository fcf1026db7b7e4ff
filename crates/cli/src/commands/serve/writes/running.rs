//! What is being carried out, by tasks of the server's: who asks may go away; what was begun goes on, and its outcome is told.

use std::{collections::HashMap, time::Duration};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::timeout,
};

/// Each with what it is, in words.
#[derive(Debug, Default)]
pub(super) struct Running {
    tasks: JoinSet<()>,
    what: HashMap<Id, String>,
}

impl Running {
    pub(super) fn begin(&mut self, what: String, task: impl Future<Output = ()> + Send + 'static) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.what.remove(&id(&ended));
        }
        let task = self.tasks.spawn(task).id();
        self.what.insert(task, what);
    }

    /// Waits for it. What is not over by then is cut, and returned.
    pub(super) async fn end(mut self, patience: Duration) -> Vec<String> {
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.what.remove(&id(&ended));
            }
        };
        _ = timeout(patience, all).await;
        self.tasks.shutdown().await;
        self.what.into_values().collect()
    }
}

fn id(ended: &Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn what_is_cut_at_the_end_is_told_and_what_is_over_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut running = Running::default();
            running.begin("over".to_owned(), ready(()));
            running.begin("cut".to_owned(), pending());
            running.begin("over, too".to_owned(), tokio::task::yield_now());
            assert_eq!(running.end(Duration::from_millis(50)).await, ["cut"]);
        });
    }
}
