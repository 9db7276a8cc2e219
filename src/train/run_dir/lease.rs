//! Who may write in a run in an object store.
//!
//! A store has no lock that dies with its process. It has an object that only one process can create, or replace while
//! it is as it was seen; whoever has done so holds the run for a while, and renews that while it lives. Somebody else
//! watches the object: if it changes, its holder lives; if it stays the same for as long as it says it holds, the
//! holder is taken for dead. No two clocks are ever compared, only how long a second is on two machines.

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

/// How long a run is held without being renewed, by default, in seconds.
const LENGTH: f64 = 30.0;

/// No lease is waited for longer than this, whatever it says.
const LONGEST: f64 = 3600.0;

/// A lock object of more bytes is none of ours.
const LIMIT: u64 = 4096;

/// A run that this process holds until the value is dropped, or for the length of the lease after the process ends.
#[derive(Debug)]
pub(super) struct Lease {
    held: Arc<Held>,
    stop: Option<Sender<()>>,
    renewing: Option<JoinHandle<()>>,
}

struct Held {
    store: Arc<dyn Store>,
    path: PathBuf,
    /// What tells this holder from every other.
    token: String,
    length: f64,
    state: Mutex<State>,
}

struct State {
    version: Version,
    renewal: u64,
    /// Who has the run, once that is somebody else.
    lost_to: Option<String>,
}

/// What the lock object says.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    holder: String,
    token: String,
    /// For how long it holds, from when it was written.
    lease_seconds: f64,
    /// How often it was renewed.
    renewal: u64,
}

impl Claim {
    fn parse(content: &[u8]) -> Self {
        let unknown = || "a process that does not say which".to_owned();
        serde_json::from_slice(content).unwrap_or_else(|_| Self {
            holder: unknown(),
            token: String::new(),
            lease_seconds: LENGTH,
            renewal: 0,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        // It holds nothing that cannot be written as JSON.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

impl Lease {
    /// Takes the run at the URL `run`. Where another process seems to hold it, this watches for as long as its lease
    /// lasts.
    ///
    /// # Errors
    /// [`TrainError::InUse`] where the other process lives; and when the store fails.
    pub(super) fn take(store: &Arc<dyn Store>, run: &Path) -> Result<Self, TrainError> {
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
        // Without a thread to be had it is given back at once, rather than left to run out.
        lease.renewing = Some(renewing.map_err(failed)?);
        Ok(lease)
    }

    /// Who has taken the run over, as far as is known.
    pub(super) fn lost_to(&self) -> Option<String> {
        self.held.state().lost_to.clone()
    }

    /// A check whether this process still holds the run, by a look at the store.
    pub(super) fn check(&self) -> impl Fn() -> io::Result<()> + Send + Sync + 'static {
        let held = Arc::clone(&self.held);
        move || held.check()
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease. A store that cannot be reached now may be so the next time: until then nobody else can have
    /// taken the run there.
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
            None => "nobody, for its lock is gone".to_owned(),
        };
        let message = format!("this process holds the run no longer: it is in use by {now_of}");
        state.lost_to = Some(now_of);
        Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A lease that is given back need not run out.
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

/// Watches the lock object, which says `theirs`, for as long as its lease lasts; gives its holder as soon as that
/// shows to live.
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

/// The length of a lease: `REKINDLE_STORE_LEASE`, in seconds.
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

/// This process, as others are told of it.
fn holder() -> String {
    let process = std::process::id();
    match host::name() {
        Some(host) => format!("process {process} on {host}"),
        None => format!("process {process} on another machine"),
    }
}

/// What no other holder has, on this machine or another.
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

    /// The lock as a process leaves it that was killed.
    fn killed(store: &Arc<dyn Store>, lease_seconds: f64) {
        let claim = Claim { holder: "process 1 on elsewhere".into(), token: "x".into(), lease_seconds, renewal: 3 };
        store.create(&Path::new(RUN).join("lock"), &claim.to_bytes()).unwrap();
    }

    #[test]
    fn the_second_process_is_refused_and_told_of_the_first() {
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

    /// Stopped for longer than its lease, a process must learn that the run is another's by now, and leave it alone.
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

    /// Whatever is in the lock, a run is never held up by it for ever.
    #[test]
    fn a_lock_that_is_not_understood_runs_out_too() {
        for content in ["", "{}", "{\"lease_seconds\": 1e300}"] {
            assert!(Claim::parse(content.as_bytes()).lease_seconds.clamp(0.0, LONGEST) <= LONGEST, "{content}");
        }
    }
}
