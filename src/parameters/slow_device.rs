//! A stand-in for a device that copies beside training: its copies reach host memory when a test lets them.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex};

use candle_core::Tensor;

use super::copy_to_host;
use crate::state::{BegunCopy, HostTensor, StateError};

thread_local! {
    static DEVICE: RefCell<Option<SlowDevice>> = const { RefCell::new(None) };
}

/// Whether copies may end, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gate {
    Shut,
    Open,
    Broken,
}

/// The device: while it is in use on a thread, tensors saved there are on it.
#[derive(Clone, Debug)]
pub(crate) struct SlowDevice(Arc<(Mutex<Gate>, Condvar)>);

impl SlowDevice {
    /// Calls `work`, in which all tensors saved on this thread are on the device.
    pub fn with<R>(work: impl FnOnce(&Self) -> R) -> R {
        let device = Self(Arc::new((Mutex::new(Gate::Shut), Condvar::new())));
        DEVICE.set(Some(device.clone()));
        let result = work(&device);
        DEVICE.set(None);
        result
    }

    /// Lets all copies end.
    pub fn open(&self) {
        self.set(Gate::Open);
    }

    /// Lets all copies fail.
    pub fn fail(&self) {
        self.set(Gate::Broken);
    }

    fn set(&self, gate: Gate) {
        *self.0.0.lock().unwrap() = gate;
        self.0.1.notify_all();
    }
}

/// Begins to copy `tensor`, where the device is in use.
pub(super) fn begin(tensor: &Tensor) -> Option<Arc<dyn BegunCopy>> {
    let device = DEVICE.with_borrow(Clone::clone)?;
    let copy = tensor.detach().copy().unwrap();
    Some(Arc::new(SlowCopy { copy, device }))
}

#[derive(Debug)]
struct SlowCopy {
    copy: Tensor,
    device: SlowDevice,
}

impl BegunCopy for SlowCopy {
    fn finish(&self, host: &mut HostTensor) -> Result<(), StateError> {
        let (gate, changed) = &*self.device.0;
        let gate = changed.wait_while(gate.lock().unwrap(), |gate| *gate == Gate::Shut).unwrap();
        match *gate {
            Gate::Broken => Err(StateError::Unable("the device has fallen off the bus".to_owned())),
            _ => copy_to_host(&self.copy, host),
        }
    }
}
