//! The GPUs of the processes, connected by NCCL.
//!
//! NCCL only moves bytes here, by sends and receives of one group. Its own sums are not used, because their order depends
//! on the number of processes, the length and the version. A process never waits for the GPU before it has looked whether
//! another process has ended: without that other one, the GPU would wait forever.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::CudaEvent;
use candle_core::cuda_backend::cudarc::nccl::result::{self, NcclError};
use candle_core::cuda_backend::cudarc::nccl::sys;
use candle_core::{CudaDevice, DType, Device, Tensor};

use super::seats::{Seat, refuse_shared};
use super::{Communicator, CommunicatorError, ConnectError, gather};
use crate::cuda::Place;
use crate::threads;

/// How long the GPUs may take to be connected.
const CONNECTED_WITHIN: Duration = Duration::from_secs(120);

/// The pause between two looks while they are.
const LOOK: Duration = Duration::from_millis(20);

/// How long a process looks for the end of an exchange without pausing.
const EAGER: Duration = Duration::from_millis(20);

/// The pause between two looks after that.
const PAUSE: Duration = Duration::from_micros(100);

/// Says why a wait is given up, if it is.
pub(super) type GiveUp<'a> = &'a dyn Fn() -> Option<CommunicatorError>;

/// The GPU of this process among those of all.
pub(super) struct Nccl {
    /// `None` after a failure.
    connection: Cell<Option<sys::ncclComm_t>>,
    device: Device,
    gpu: CudaDevice,
}

/// A connection on its way from the thread that makes it.
struct Made(sys::ncclComm_t);

// SAFETY: any thread may use a connection of NCCL, one at a time.
unsafe impl Send for Made {}

impl Nccl {
    /// Connects `gpu` with those of the other processes, which call this too.
    pub fn connect(
        communicator: &dyn Communicator,
        gpu: &CudaDevice,
        give_up: GiveUp<'_>,
    ) -> Result<Self, ConnectError> {
        let seat = serde_json::to_vec(&seat(gpu)?).map_err(failed)?;
        let seats = gather(communicator, &seat).map_err(ConnectError::Lost)?;
        let seats = seats.iter().map(|seat| serde_json::from_slice(seat)).collect::<Result<Vec<Seat>, _>>();
        refuse_shared(&seats.map_err(failed)?).map_err(ConnectError::Refused)?;
        let id = told_id(communicator)?;
        let made = made(communicator, gpu, id, give_up)?;
        Ok(Self { connection: Cell::new(Some(made.0)), device: Device::Cuda(gpu.clone()), gpu: gpu.clone() })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// As [`DeviceLink::exchange`](super::DeviceLink::exchange).
    pub fn exchange(
        &self,
        parts: &[Option<Tensor>],
        sizes: &[usize],
        dtype: DType,
        give_up: GiveUp<'_>,
    ) -> Result<Option<Tensor>, CommunicatorError> {
        let connection = self.connection.get().ok_or("the connection by NCCL was ended before")?;
        let place = Place::of(&self.device, dtype).ok_or("numbers of this type are not exchanged between GPUs")?;
        let count: usize = sizes.iter().sum();
        let received = (count > 0).then(|| place.output(dtype, count)).transpose()?;
        let size = dtype.size_in_bytes();
        let mut sends = Vec::new();
        for (peer, part) in parts.iter().enumerate() {
            if let Some(part) = part {
                sends.push(Bytes { peer, address: place.address(part)?, count: part.elem_count() * size });
            }
        }
        let mut receives = Vec::new();
        let mut address = received.as_ref().map_or(Ok(0), |received| place.address_of_output(received))?;
        for (peer, &numbers) in sizes.iter().enumerate().filter(|(_, numbers)| **numbers > 0) {
            receives.push(Bytes { peer, address, count: numbers * size });
            address += (numbers * size) as u64;
        }
        let begun = self.begin(connection, &sends, &receives);
        let over = begun.and_then(|event| self.wait(connection, &event, give_up));
        over.inspect_err(|_| self.end())?;
        Ok(received.map(|received| received.into_tensor()))
    }

    /// Puts an exchange on the stream of the device, and an event behind it.
    fn begin(
        &self,
        connection: sys::ncclComm_t,
        sends: &[Bytes],
        receives: &[Bytes],
    ) -> Result<CudaEvent, CommunicatorError> {
        let stream = self.gpu.cuda_stream();
        stream.context().bind_to_thread().w()?;
        let on = stream.cu_stream() as sys::cudaStream_t;
        result::group_start().map_err(said)?;
        let queued = sends.iter().try_for_each(|sent| {
            let from = sent.address as *const c_void;
            // SAFETY: the address is of a tensor with as many bytes, which lives until the exchange is over.
            unsafe { result::send(from, sent.count, sys::ncclDataType_t::ncclInt8, sent.peer()?, connection, on) }
                .map(drop)
                .map_err(said)
        });
        let queued = queued.and_then(|()| {
            receives.iter().try_for_each(|received| {
                let to = received.address as *mut c_void;
                // SAFETY: the address is of memory for as many bytes, which lives until the exchange is over.
                unsafe {
                    result::recv(to, received.count, sys::ncclDataType_t::ncclInt8, received.peer()?, connection, on)
                }
                .map(drop)
                .map_err(said)
            })
        });
        // A group that is begun has to end.
        let ended = result::group_end().map_err(said);
        queued?;
        ended?;
        Ok(stream.record_event(None).w()?)
    }

    /// Waits until the GPU has come to `event`.
    fn wait(
        &self,
        connection: sys::ncclComm_t,
        event: &CudaEvent,
        give_up: GiveUp<'_>,
    ) -> Result<(), CommunicatorError> {
        let (began, mut looks) = (Instant::now(), 0u32);
        while !event.try_is_complete().w()? {
            looks += 1;
            if looks.is_multiple_of(64) {
                if let Some(reason) = give_up() {
                    return Err(reason);
                }
                let mut state = sys::ncclResult_t::ncclSuccess;
                // SAFETY: the connection is open, and there is room for the answer.
                unsafe { sys::ncclCommGetAsyncError(connection, &raw mut state) }.result().map_err(said)?;
                state.result().map_err(said)?;
            }
            match began.elapsed() < EAGER {
                true => std::thread::yield_now(),
                false => std::thread::sleep(PAUSE),
            }
        }
        Ok(())
    }

    /// Ends the connection, and what the GPU waits for. The others learn it from the signs of life, or from NCCL.
    fn end(&self) {
        if let Some(connection) = self.connection.take() {
            // SAFETY: it is open, and nobody uses it after this. Nothing is left to do if it fails.
            let _ = unsafe { result::comm_abort(connection) };
        }
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        self.end();
    }
}

/// Bytes on the GPU, and the process to which or from which they go.
struct Bytes {
    peer: usize,
    address: u64,
    count: usize,
}

impl Bytes {
    fn peer(&self) -> Result<c_int, CommunicatorError> {
        Ok(c_int::try_from(self.peer)?)
    }
}

fn seat(gpu: &CudaDevice) -> Result<Seat, ConnectError> {
    let uuid = gpu.cuda_stream().context().uuid().w().map_err(failed)?;
    let digits: String = uuid.bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect();
    // For a message alone.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(Seat { host: host.trim().to_owned(), gpu: format!("GPU-{digits}") })
}

/// The first process makes the identity of the connection, and tells it to the others.
fn told_id(communicator: &dyn Communicator) -> Result<sys::ncclUniqueId, ConnectError> {
    let own = match communicator.rank() {
        0 => result::get_uniqueid().map(Some),
        _ => Ok(None),
    };
    let bytes = own.as_ref().ok().and_then(Option::as_ref);
    let bytes = bytes.map_or(&[][..], |id| bytemuck::cast_slice::<c_char, u8>(&id.internal));
    let told = gather(communicator, bytes).map_err(ConnectError::Lost)?;
    own.map_err(|error| failed(said(error)))?;
    let mut id = sys::ncclUniqueId { internal: [0; 128] };
    let told = told.first().filter(|told| told.len() == id.internal.len());
    let told = told.ok_or_else(|| ConnectError::Lost("process 0 cannot use NCCL".into()))?;
    bytemuck::cast_slice_mut::<c_char, u8>(&mut id.internal).copy_from_slice(told);
    Ok(id)
}

/// Makes the connection on another thread: the call waits for all processes, also for one that has ended.
fn made(
    communicator: &dyn Communicator,
    gpu: &CudaDevice,
    id: sys::ncclUniqueId,
    give_up: GiveUp<'_>,
) -> Result<Made, ConnectError> {
    let world = c_int::try_from(communicator.world()).map_err(failed)?;
    let rank = c_int::try_from(communicator.rank()).map_err(failed)?;
    let context = gpu.cuda_stream().context().clone();
    let (to, from) = channel();
    let make = move || {
        let bound = context.bind_to_thread().w().map_err(CommunicatorError::from);
        let made = bound.and_then(|()| {
            let mut connection = ptr::null_mut();
            // SAFETY: there is room for the connection, and the GPU of the thread is that of this process.
            unsafe { result::comm_init_rank(&raw mut connection, world, id, rank) }.map_err(said)?;
            Ok(Made(connection))
        });
        // Nobody listens any more if the wait was given up.
        drop(to.send(made));
    };
    threads::builder("nccl").spawn(make).map_err(failed)?;
    let began = Instant::now();
    loop {
        match from.recv_timeout(LOOK) {
            Ok(made) => return made.map_err(failed),
            Err(RecvTimeoutError::Disconnected) => return Err(failed("the thread that connects the GPUs has failed")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(reason) = give_up() {
            return Err(ConnectError::Lost(reason));
        }
        if began.elapsed() > CONNECTED_WITHIN {
            let waited = CONNECTED_WITHIN.as_secs();
            return Err(failed(format!(
                "NCCL has not connected the GPUs within {waited} s; NCCL_DEBUG=INFO in the environment says what it waits for"
            )));
        }
    }
}

fn failed(error: impl Into<CommunicatorError>) -> ConnectError {
    ConnectError::Failed(error.into())
}

fn said(error: NcclError) -> CommunicatorError {
    format!("NCCL: {:?}; NCCL_DEBUG=WARN in the environment says more", error.0).into()
}
