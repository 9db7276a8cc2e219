//! The lock of a run, or of a sweep, in an object store.
//!
//! An object store has no lock that is released when a process dies. Instead a lock object is created atomically, or
//! replaced if unchanged, and renewed while the holder lives. Another process watches the object: if it does not change
//! for its lease time, the holder is considered dead. Clocks of different machines are never compared, only durations.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::store::{Store, Version};
use crate::train::TrainError;
use crate::{host, threads};

/// Default lease time in seconds.
const LENGTH: f64 = 30.0;

/// Maximal time to wait for a lease, in seconds.
const LONGEST: f64 = 3600.0;

/// Maximal size of a lock object in bytes.
const LIMIT: u64 = 4096;

/// A run that this process holds until the value is dropped, or for the lease time after the process ends.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Arc<Held>,
    stop: Option<Sender<()>>,
    renewing: Option<JoinHandle<()>>,
}

struct Held {
    store: Arc<dyn Store>,
    path: PathBuf,
    /// Identifies this holder.
    token: String,
    length: f64,
    state: Mutex<State>,
}

struct State {
    version: Version,
    renewal: u64,
    /// The new holder, once there is another one.
    lost_to: Option<String>,
}

/// The content of the lock object.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    holder: String,
    token: String,
    /// The lease time in seconds, from when it was written.
    lease_seconds: f64,
    /// Number of renewals.
    renewal: u64,
}

impl Claim {
    fn parse(content: &[u8]) -> Self {
        let unknown = || "an unknown process".to_owned();
        serde_json::from_slice(content).unwrap_or_else(|_| Self {
            holder: unknown(),
            token: String::new(),
            lease_seconds: LENGTH,
            renewal: 0,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        // All fields can be written as JSON.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

impl Lease {
    /// Takes the run at the URL `run`. If another process seems to hold it, this watches for its lease time.
    ///
    /// # Errors
    /// [`TrainError::InUse`] if the other process is alive; also if the store fails.
    pub(crate) fn take(store: &Arc<dyn Store>, run: &Path) -> Result<Self, TrainError> {
        Self::take_for(store, run, length()?)
    }

    fn take_for(store: &Arc<dyn Store>, run: &Path, length: f64) -> Result<Self, TrainError> {
        let path = run.join("lock");
        let failed = |error| TrainError::write(&path, "take the lock")(error);
        let claim = Claim { holder: holder(), token: token(), lease_seconds: length, renewal: 0 };
        let version = loop {
            match store.create(&path, &claim.to_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => break created.map_err(failed)?,
            }
            let Some((theirs, version)) = store.fetch(&path, LIMIT).map_err(failed)? else { continue };
            if let Some(holder) = watch(&**store, &path, &theirs).map_err(failed)? {
                return Err(TrainError::InUse { path: run.to_owned(), holder });
            }
            match store.replace(&path, &claim.to_bytes(), &version) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                replaced => break replaced.map_err(failed)?,
            }
        };
        let state = Mutex::new(State { version, renewal: 0, lost_to: None });
        let held = Arc::new(Held { store: Arc::clone(store), path: path.clone(), token: claim.token, length, state });
        let (stop, stopped) = mpsc::channel();
        let renewed = Arc::clone(&held);
        let mut lease = Self { held, stop: Some(stop), renewing: None };
        let renewing = threads::builder("lease").spawn(move || {
            let pause = Duration::from_secs_f64(renewed.length / 3.0);
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                renewed.renew();
            }
        });
        // If the system refuses a thread, the lease is given back at once.
        lease.renewing = Some(renewing.map_err(failed)?);
        Ok(lease)
    }

    /// Returns the process that has taken over the run, as far as known.
    pub(super) fn lost_to(&self) -> Option<String> {
        self.held.state().lost_to.clone()
    }

    /// Returns a check whether this process still holds the run, by reading from the store.
    pub(crate) fn check(&self) -> impl Fn() -> io::Result<()> + Send + Sync + 'static {
        let held = Arc::clone(&self.held);
        move || held.check()
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease. An unreachable store may be reachable the next time: until then no other process can have
    /// taken the run.
    fn renew(&self) {
        let (version, renewal) = {
            let mut state = self.state();
            state.renewal += 1;
            (state.version.clone(), state.renewal)
        };
        let claim = Claim { holder: holder(), token: self.token.clone(), lease_seconds: self.length, renewal };
        match self.store.replace(&self.path, &claim.to_bytes(), &version) {
            Ok(version) => self.state().version = version,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => drop(self.check()),
            Err(error) => tracing::warn!("the lease in {} is not renewed: {error}", self.path.display()),
        }
    }

    fn check(&self) -> io::Result<()> {
        let found = self.store.fetch(&self.path, LIMIT)?.map(|(content, version)| (Claim::parse(&content), version));
        let mut state = self.state();
        let now_of = match found {
            Some((claim, version)) if claim.token == self.token => {
                state.version = version;
                return Ok(());
            }
            Some((claim, _)) => claim.holder,
            None => "nobody (the lock was removed)".to_owned(),
        };
        let message = format!("this process no longer holds the lock: it is in use by {now_of}");
        state.lost_to = Some(now_of);
        Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A returned lease need not expire.
impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.renewing.take().map(JoinHandle::join));
        if self.held.check().is_ok()
            && let Err(error) = self.held.store.remove(&self.held.path)
        {
            tracing::warn!("{} stays until its lease runs out: {error}", self.held.path.display());
        }
    }
}

/// Watches the lock object, whose content is `theirs`, for its lease time; returns its holder as soon as it changes.
fn watch(store: &dyn Store, path: &Path, theirs: &[u8]) -> io::Result<Option<String>> {
    let (claim, began) = (Claim::parse(theirs), Instant::now());
    let lasts = claim.lease_seconds.clamp(0.0, LONGEST);
    tracing::warn!("waiting up to {lasts:.0} s for {} or its lease on {} to end", claim.holder, path.display());
    while began.elapsed().as_secs_f64() < lasts {
        thread::sleep(Duration::from_secs_f64((lasts / 20.0).clamp(0.02, 1.0)));
        match store.fetch(path, LIMIT)? {
            Some((now, _)) if now == theirs => {}
            Some((now, _)) => return Ok(Some(Claim::parse(&now).holder)),
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Returns the lease time: `REKINDLE_STORE_LEASE`, in seconds.
fn length() -> Result<f64, TrainError> {
    const VARIABLE: &str = "REKINDLE_STORE_LEASE";
    let Ok(text) = env::var(VARIABLE) else { return Ok(LENGTH) };
    match text.parse() {
        Ok(seconds) if (0.1..=LONGEST).contains(&seconds) => Ok(seconds),
        _ => Err(TrainError::Field {
            field: VARIABLE.to_owned(),
            value: text,
            rule: format!("must be a number of seconds from 0.1 to {LONGEST}"),
        }),
    }
}

/// Describes this process for others.
fn holder() -> String {
    let process = std::process::id();
    match host::name() {
        Some(host) => format!("process {process} on {host}"),
        None => format!("process {process} on another machine"),
    }
}

/// Returns an identifier that no other holder has, on any machine.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let stack = &raw const now;
    blake3::hash(format!("{} {now} {stack:?}", holder()).as_bytes()).to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    const RUN: &str = "mem://bucket/run";

    fn store() -> Arc<dyn Store> {
        Arc::new(Memory::new())
    }

    fn take(store: &Arc<dyn Store>, length: f64) -> Result<Lease, TrainError> {
        Lease::take_for(store, Path::new(RUN), length)
    }

    /// Leaves the lock of a killed process.
    fn killed(store: &Arc<dyn Store>, lease_seconds: f64) {
        let claim = Claim { holder: "process 1 on elsewhere".into(), token: "x".into(), lease_seconds, renewal: 3 };
        store.create(&Path::new(RUN).join("lock"), &claim.to_bytes()).unwrap();
    }

    #[test]
    fn the_second_process_is_refused_with_the_name_of_the_first() {
        let store = store();
        let first = take(&store, 3.0).unwrap();
        let message = take(&store, 3.0).unwrap_err().to_string();
        assert!(message.contains(&format!("{RUN} is in use by process {} on ", std::process::id())), "{message}");
        drop(first);
        take(&store, 3.0).unwrap();
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_for_want_of_a_thread_is_given_back() {
        let store = store();
        threads::starved::without_threads(|| take(&store, 3600.0).unwrap_err());
        take(&store, 3600.0).unwrap();
    }

    #[test]
    fn a_holder_that_renews_holds_for_ever() {
        let store = store();
        let lease = take(&store, 2.0).unwrap();
        thread::sleep(Duration::from_millis(2500));
        lease.check()().unwrap();
        assert!(matches!(take(&store, 2.0), Err(TrainError::InUse { .. })));
    }

    #[test]
    fn the_lease_of_a_killed_process_runs_out() {
        let store = store();
        killed(&store, 0.2);
        let began = Instant::now();
        let lease = take(&store, 5.0).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(200), "it was not waited for");
        lease.check()().unwrap();
    }

    /// A process suspended for longer than its lease must detect that another one holds the run, and leave the lock
    /// alone.
    #[test]
    fn a_process_that_was_taken_over_knows_and_leaves_the_lock() {
        let store = store();
        let lease = take(&store, 3600.0).unwrap();
        let path = Path::new(RUN).join("lock");
        store.remove(&path).unwrap();
        killed(&store, 0.1);
        let message = lease.check()().unwrap_err().to_string();
        assert!(message.contains("it is in use by process 1 on elsewhere"), "{message}");
        assert_eq!(lease.lost_to().as_deref(), Some("process 1 on elsewhere"));
        drop(lease);
        assert!(store.size(&path).unwrap().is_some());
    }

    /// For any content of the lock, a run is never blocked for ever.
    #[test]
    fn a_lock_that_is_not_understood_runs_out_too() {
        for content in ["", "{}", "{\"lease_seconds\": 1e300}"] {
            assert!(Claim::parse(content.as_bytes()).lease_seconds.clamp(0.0, LONGEST) <= LONGEST, "{content}");
        }
    }
}
