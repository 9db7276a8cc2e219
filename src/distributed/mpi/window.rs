//! Memory that all processes of a run have mapped, if they are on one host: a shared window of MPI-3.
//!
//! Each process has a part of it. There it writes, and the others read. A counter at its beginning says how often the
//! process has come to a place where they wait for each other. MPI's own barrier could not be given up when another
//! process is lost.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::{null_mut, slice_from_raw_parts_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use mpi::collective::SystemOperation;
use mpi::ffi;
use mpi::raw::AsRaw;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::CommunicatorCollectives;

use super::transfer::succeeded;
use super::wait::Wait;
use crate::distributed::{CommunicatorError, Exchanged, Rooms};

/// The bytes of the first room of a process where there is enough memory, and of the smallest one. Each exchange waits
/// for all processes twice, so a larger room is better.
const ROOM: [usize; 2] = [8 << 20, 1 << 20];

/// The bytes in front of the rooms, for the counter: a page, so that rooms begin at one.
const FRONT: usize = 4096;

/// The parts of the processes begin at multiples of it, also where MPI places them closer.
const ALIGNMENT: usize = 64;

/// The folder in which both MPIs keep shared memory.
const FOLDER: &str = "/dev/shm";

/// The bytes of each process that are left to MPI there: it takes memory for its own messages only as it writes to it.
const OF_MPI: u64 = 4 << 20;

/// The window, mapped.
pub(super) struct Window {
    raw: ffi::MPI_Win,
    rank: usize,
    /// Where the part of each process begins here.
    parts: Vec<*mut u8>,
    /// The bytes of the first and of the second room of each process.
    rooms: [usize; 2],
    /// How often the processes have waited for each other.
    meetings: Cell<u64>,
    /// Whether an exchange is under way, or was given up.
    is_busy: Cell<bool>,
}

/// Why there is no window.
pub(super) enum Without {
    /// The processes are on several hosts.
    Hosts,
    /// It cannot be had, for this reason.
    Reason(String),
}

impl Window {
    /// Opens a window for all processes of `world`, which call this together.
    pub fn open(world: &SimpleCommunicator) -> Result<Self, Without> {
        let host = world.split_shared(world.rank());
        if host.size() != world.size() {
            return Err(Without::Hosts);
        }
        // SAFETY: the communicator is valid; from now on, calls return their errors.
        unsafe { ffi::MPI_Comm_set_errhandler(host.as_raw(), ffi::RSMPI_ERRORS_RETURN) };
        // Without this, a process would end at its first write to memory that is not there, or wait for one that MPI has
        // refused it.
        let free = of_all(&host, free_space());
        let rooms = rooms_in(free, host.size() as u64).map_err(Without::Reason)?;
        let opened = Self::allocate(&host, rooms);
        let is_open = of_all(&host, u64::from(opened.is_ok())) == 1;
        let elsewhere = || "another process cannot map it".into();
        let window = opened.and_then(|window| if is_open { Ok(window) } else { Err(elsewhere()) });
        let window = window.map_err(|error| Without::Reason(error.to_string()))?;
        window.clear();
        // Waits for the others: from now on, all parts are cleared.
        of_all(&host, 0);
        Ok(window)
    }

    fn allocate(host: &SimpleCommunicator, rooms: [usize; 2]) -> Result<Self, CommunicatorError> {
        // SAFETY: the constant is MPI's.
        let mut raw = unsafe { ffi::RSMPI_WIN_NULL };
        let mut own: *mut u8 = null_mut();
        // SAFETY: the communicator is that of a host, and there is room for the address and the window.
        succeeded(unsafe {
            ffi::MPI_Win_allocate_shared(
                part_of(rooms) as ffi::MPI_Aint,
                1,
                ffi::RSMPI_INFO_NULL,
                host.as_raw(),
                (&raw mut own).cast(),
                &raw mut raw,
            )
        })?;
        // SAFETY: the window is valid. No process locks it for itself alone, so MPI need not look.
        succeeded(unsafe {
            ffi::MPI_Win_set_errhandler(raw, ffi::RSMPI_ERRORS_RETURN);
            ffi::MPI_Win_lock_all(ffi::MPI_MODE_NOCHECK as c_int, raw)
        })?;
        let parts = (0..host.size()).map(|rank| start_of(raw, rank, part_of(rooms))).collect::<Result<_, _>>()?;
        let rank = usize::try_from(host.rank())?;
        Ok(Self { raw, rank, parts, rooms, meetings: Cell::new(0), is_busy: Cell::new(false) })
    }

    /// Clears the part of this process, which also makes the system give the memory: later there may be none.
    fn clear(&self) {
        // SAFETY: the part has this length, and no other process uses it before all have come here.
        unsafe { self.parts[self.rank].write_bytes(0, part_of(self.rooms) - ALIGNMENT) };
        self.sync();
    }

    /// Returns how many bytes the first and the second room of each process have.
    pub fn rooms(&self) -> [usize; 2] {
        self.rooms
    }

    /// As [`SharedMemory::exchange`](crate::distributed::SharedMemory::exchange). `give_up` returns why to give
    /// up a wait for the others, if there is a reason.
    pub fn exchange(
        &self,
        give: &mut dyn FnMut(&mut [u8]) -> Exchanged,
        add: &mut dyn FnMut(&Rooms<'_>, &mut [u8]) -> Exchanged,
        take: &mut dyn FnMut(&Rooms<'_>) -> Exchanged,
        give_up: &dyn Fn() -> Option<CommunicatorError>,
    ) -> Exchanged {
        if self.is_busy.replace(true) {
            return Err("an exchange in shared memory was given up before".into());
        }
        // SAFETY: only this process writes to its rooms, and only in this function, which is not called within itself.
        // The others read the first rooms between the first and the second meeting, and the second rooms from the
        // second one to the first of the next exchange. In these times nobody writes to them: a process writes to its
        // first room after the second meeting of the last exchange, before the first one of this; to its second room
        // between the two. The meetings order memory, as a release by each and an acquire by all.
        unsafe {
            give(&mut *self.room(self.rank, 0))?;
            self.meet(Wait::new(give_up))?;
            add(&self.all(0), &mut *self.room(self.rank, 1))?;
            self.meet(Wait::new(give_up))?;
            take(&self.all(1))?;
        }
        self.is_busy.set(false);
        Ok(())
    }

    /// Returns one of the rooms of all processes.
    ///
    /// # Safety
    /// Nobody may write to them while they are used.
    unsafe fn all(&self, room: usize) -> Vec<&[u8]> {
        // SAFETY: the rooms are in mapped memory, and the caller says that nobody writes there.
        (0..self.parts.len()).map(|rank| unsafe { &*self.room(rank, room).cast_const() }).collect()
    }

    fn room(&self, rank: usize, room: usize) -> *mut [u8] {
        let start = FRONT + self.rooms[..room].iter().sum::<usize>();
        slice_from_raw_parts_mut(self.parts[rank].wrapping_add(start), self.rooms[room])
    }

    /// Waits until all processes are here.
    fn meet(&self, mut wait: Wait<'_>) -> Result<(), CommunicatorError> {
        let number = self.meetings.get() + 1;
        self.meetings.set(number);
        self.sync();
        self.counter(self.rank).store(number, Ordering::Release);
        for rank in 0..self.parts.len() {
            while self.counter(rank).load(Ordering::Acquire) < number {
                wait.pause()?;
            }
        }
        self.sync();
        Ok(())
    }

    fn counter(&self, rank: usize) -> &AtomicU64 {
        // SAFETY: the part begins with a number that is aligned, and that all use as an atomic one.
        unsafe { AtomicU64::from_ptr(self.parts[rank].cast()) }
    }

    /// Orders the memory of the window, as MPI asks for.
    fn sync(&self) {
        // SAFETY: the window is valid, and open for all.
        unsafe { ffi::MPI_Win_sync(self.raw) };
    }

    /// Closes the window, together with all other processes.
    pub fn close(mut self) {
        // SAFETY: the window is valid, and nothing else uses it: this takes the only owner.
        unsafe {
            ffi::MPI_Win_unlock_all(self.raw);
            ffi::MPI_Win_free(&raw mut self.raw);
        }
    }
}

/// Returns the bytes of a process that has these rooms.
fn part_of(rooms: [usize; 2]) -> usize {
    FRONT + rooms[0] + rooms[1] + ALIGNMENT
}

/// Returns the bytes of the rooms of each of `processes` for which `free` bytes of shared memory are enough, or why they
/// are not. A part of the sums is at most half of what is given.
fn rooms_in(free: u64, processes: u64) -> Result<[usize; 2], String> {
    let [mut room, least] = ROOM;
    loop {
        let rooms = [room, room / 2];
        let needed = (part_of(rooms) as u64 + OF_MPI) * processes;
        if needed <= free {
            return Ok(rooms);
        }
        if room <= least {
            let needed = needed.div_ceil(1 << 20);
            return Err(format!("{FOLDER} has {} MiB free, and {needed} are needed", free >> 20));
        }
        room /= 2;
    }
}

/// Returns where the part of a process, of `part` bytes, begins here.
fn start_of(window: ffi::MPI_Win, rank: c_int, part: usize) -> Result<*mut u8, CommunicatorError> {
    let (mut size, mut unit, mut start): (ffi::MPI_Aint, c_int, *mut u8) = (0, 0, null_mut());
    // SAFETY: the window is valid, and there is room for the answers.
    succeeded(unsafe {
        ffi::MPI_Win_shared_query(window, rank, &raw mut size, &raw mut unit, (&raw mut start).cast())
    })?;
    if start.is_null() || usize::try_from(size).unwrap_or(0) < part {
        return Err(format!("MPI maps {size} bytes of process {rank}, of {part}").into());
    }
    // Memory is mapped by pages, so this is the same place in each process.
    Ok(start.wrapping_add(start.align_offset(ALIGNMENT)))
}

/// Returns the least number of all processes.
fn of_all(host: &SimpleCommunicator, own: u64) -> u64 {
    let mut least = own;
    host.all_reduce_into(&own, &mut least, SystemOperation::min());
    least
}

/// Returns how much shared memory this process can have; 0 if there is none.
fn free_space() -> u64 {
    rustix::fs::statvfs(FOLDER).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_as_large_as_the_shared_memory_lets_them_be() {
        let of = |mib: u64, processes| rooms_in(mib << 20, processes);
        assert_eq!(of(1 << 20, 2), Ok([8 << 20, 4 << 20]));
        // 64 MiB are the default of containers.
        assert_eq!(of(64, 3), Ok([8 << 20, 4 << 20]));
        assert_eq!(of(64, 4), Ok([4 << 20, 2 << 20]));
        assert_eq!(of(12, 2), Ok([1 << 20, 1 << 19]));
        assert_eq!(of(11, 2).unwrap_err(), "/dev/shm has 11 MiB free, and 12 are needed");
        assert!(of(0, 2).is_err() && of(u64::MAX >> 20, 2).is_ok());
    }
}
