//! The runs that somebody looks at: each is read by one task, which ends when nobody has looked for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task;
use tokio::time::{MissedTickBehavior, interval};

use super::live::Live;
use super::runs::{Catalogue, Run};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// How long a run is read after the last look, so that a page that is loaded again need not wait.
const LINGER: Duration = Duration::from_secs(30);

/// Runs that are looked at, by their identifiers.
#[derive(Debug)]
pub struct Hub {
    catalogue: Arc<Catalogue>,
    live: Mutex<HashMap<String, Arc<Live>>>,
}

impl Hub {
    /// Creates it for runs in `catalogue`; nothing is read yet.
    pub fn of(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue, live: Mutex::default() }
    }

    /// Returns the run, which is read from now on if it was not. Its first look may be yet to come.
    pub fn follow(self: &Arc<Self>, run: &Run) -> Arc<Live> {
        let mut all = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = all.get(&run.id) {
            return Arc::clone(live);
        }
        let live = Arc::new(Live::new(run.clone(), Arc::clone(&self.catalogue)));
        all.insert(run.id.clone(), Arc::clone(&live));
        task::spawn(Arc::clone(self).read(Arc::clone(&live)));
        live
    }

    async fn read(self: Arc<Self>, live: Arc<Live>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        while !self.is_over(&live, &mut looked) {
            ticks.tick().await;
            let reader = Arc::clone(&live);
            if task::spawn_blocking(move || reader.look()).await.is_err() {
                tracing::warn!("{}: reading it failed", live.run().path.display());
            }
        }
    }

    /// Whether nobody has looked for a while; the run is then forgotten.
    fn is_over(&self, live: &Arc<Live>, looked: &mut Instant) -> bool {
        // Under the lock nobody begins to look.
        let mut all = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        // One is here, and one in the map.
        if Arc::strong_count(live) > 2 {
            *looked = Instant::now();
        }
        let is_over = looked.elapsed() > LINGER;
        if is_over {
            all.remove(&live.run().id);
        }
        is_over
    }
}
