//! Detects access to files through the operating system.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

/// Receives every open of a file in one folder, and every change in some others.
pub struct Watch(OwnedFd);

impl Watch {
    pub fn new(unopened: &Path, unchanged: &[&Path]) -> Self {
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let changes = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MODIFY | WatchFlags::MOVE;
        add_watch(&watch, unopened, changes | WatchFlags::OPEN).unwrap();
        for path in unchanged {
            add_watch(&watch, *path, changes).unwrap();
        }
        Self(watch)
    }

    /// Ignores the accesses so far.
    pub fn forget(&self) {
        self.events(|_| {});
    }

    #[track_caller]
    pub fn assert_untouched(&self) {
        self.events(|event| panic!("a file was touched: {event}"));
    }

    fn events(&self, mut told: impl FnMut(String)) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.0, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => told(format!("{:?} {:?}", event.file_name(), event.events())),
                Err(Errno::AGAIN) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
