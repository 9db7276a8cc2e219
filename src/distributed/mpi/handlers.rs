//! Actions of signals, which MPI may replace.

use std::ffi::c_int;

/// The actions of some signals.
pub(super) struct Handlers(Vec<(c_int, libc::sigaction)>);

impl Handlers {
    pub fn of(signals: &[c_int]) -> Self {
        let actions = signals.iter().filter_map(|&signal| {
            let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: without a new action the call only writes the present one, for which there is room.
            let read = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
            // SAFETY: the call has written it.
            (read == 0).then(|| (signal, unsafe { action.assume_init() }))
        });
        Self(actions.collect())
    }

    pub fn restore(self) {
        for (signal, action) in self.0 {
            // SAFETY: it is an action that the signal had.
            unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
        }
    }
}
