//! A transfer between all processes that is under way, with the memory that MPI reads and writes.

use std::ffi::c_int;

use mpi::ffi;
use mpi::raw::AsRaw;
use mpi::topology::SimpleCommunicator;

use crate::distributed::{CommunicatorError, Message};

/// Bytes and their places per process, as MPI takes them.
struct Layout {
    counts: Vec<c_int>,
    starts: Vec<c_int>,
    len: usize,
}

impl Layout {
    fn of(sizes: &[usize]) -> Result<Self, CommunicatorError> {
        let (mut counts, mut starts, mut len) = (Vec::new(), Vec::new(), 0usize);
        for &size in sizes {
            counts.push(c_int::try_from(size)?);
            starts.push(c_int::try_from(len)?);
            len += size;
        }
        c_int::try_from(len)?;
        Ok(Self { counts, starts, len })
    }
}

/// A transfer under way. It must be complete or abandoned before it is dropped.
pub(super) struct Transfer {
    request: ffi::MPI_Request,
    sent: Message,
    received: Message,
    layouts: [Layout; 2],
}

impl Transfer {
    pub fn all_to_all(
        world: &SimpleCommunicator,
        parts: Message,
        sizes: &[usize],
        received_sizes: &[usize],
    ) -> Result<Self, CommunicatorError> {
        let mut transfer = Self::new(parts, [Layout::of(sizes)?, Layout::of(received_sizes)?])?;
        let [to, from] = &transfer.layouts;
        // SAFETY: the messages have as many bytes as the layouts say. The memory of messages and layouts stays where it
        // is until MPI no longer uses it, because the transfer owns it until it is complete or abandoned.
        let code = unsafe {
            ffi::MPI_Ialltoallv(
                transfer.sent.bytes().as_ptr().cast(),
                to.counts.as_ptr(),
                to.starts.as_ptr(),
                ffi::RSMPI_UINT8_T,
                transfer.received.bytes_mut().as_mut_ptr().cast(),
                from.counts.as_ptr(),
                from.starts.as_ptr(),
                ffi::RSMPI_UINT8_T,
                world.as_raw(),
                &raw mut transfer.request,
            )
        };
        transfer.begun(code)
    }

    pub fn all_gather(world: &SimpleCommunicator, own: Message, sizes: &[usize]) -> Result<Self, CommunicatorError> {
        let own_len = own.bytes().len();
        let mut transfer = Self::new(own, [Layout::of(&[own_len])?, Layout::of(sizes)?])?;
        let [to, from] = &transfer.layouts;
        // SAFETY: as above.
        let code = unsafe {
            ffi::MPI_Iallgatherv(
                transfer.sent.bytes().as_ptr().cast(),
                to.counts[0],
                ffi::RSMPI_UINT8_T,
                transfer.received.bytes_mut().as_mut_ptr().cast(),
                from.counts.as_ptr(),
                from.starts.as_ptr(),
                ffi::RSMPI_UINT8_T,
                world.as_raw(),
                &raw mut transfer.request,
            )
        };
        transfer.begun(code)
    }

    fn new(sent: Message, layouts: [Layout; 2]) -> Result<Self, CommunicatorError> {
        if sent.bytes().len() != layouts[0].len {
            return Err(format!("{} bytes were given to send {}", sent.bytes().len(), layouts[0].len).into());
        }
        let received = Message::sized(layouts[1].len);
        // SAFETY: the constant is MPI's.
        let request = unsafe { ffi::RSMPI_REQUEST_NULL };
        Ok(Self { request, sent, received, layouts })
    }

    fn begun(self, code: c_int) -> Result<Self, CommunicatorError> {
        if let Err(error) = succeeded(code) {
            self.abandon();
            return Err(error);
        }
        Ok(self)
    }

    /// Whether the transfer is complete. The call also moves it on.
    pub fn is_complete(&mut self) -> Result<bool, CommunicatorError> {
        let mut is_complete: c_int = 0;
        // SAFETY: the request is that of the call that began the transfer, or null once it is complete.
        let code = unsafe { ffi::MPI_Test(&raw mut self.request, &raw mut is_complete, ffi::RSMPI_STATUS_IGNORE) };
        succeeded(code)?;
        Ok(is_complete != 0)
    }

    /// Returns what a complete transfer has brought.
    pub fn received(self) -> Message {
        self.received
    }

    /// Gives up a transfer. MPI may still use its memory, which is never freed.
    pub fn abandon(self) {
        std::mem::forget(self);
    }
}

/// Returns the error of a call of MPI.
pub(super) fn succeeded(code: c_int) -> Result<(), CommunicatorError> {
    if code == ffi::MPI_SUCCESS as c_int {
        return Ok(());
    }
    let mut text = vec![0u8; ffi::MPI_MAX_ERROR_STRING as usize + 1];
    let mut len: c_int = 0;
    // SAFETY: there is room for the longest text.
    unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast(), &raw mut len) };
    text.truncate(usize::try_from(len).unwrap_or(0));
    Err(format!("MPI: {}", String::from_utf8_lossy(&text)).into())
}
