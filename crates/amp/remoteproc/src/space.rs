//! Which memories a remote core has, and what its addresses mean in them: device address → physical address → here.

use core::fmt;

use tutti_metal::{DeviceAddr, Memory, PhysAddr};

/// One memory of a remote core: where the core sees it, where it is on the bus, and how to reach it from here.
///
/// The core's address need not be the one that the [`Memory`] itself goes by: a tightly coupled memory is at 0 for its
/// core and somewhere else for all others.
#[derive(Clone, Copy, Debug)]
pub struct Space<M> {
    /// What people call it.
    pub name: &'static str,
    /// Where the core sees it.
    pub da: DeviceAddr,
    /// Where it is on the bus.
    pub pa: PhysAddr,
    /// The memory.
    pub memory: M,
}

/// An address that lies in none of the memories whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotMapped {
    /// Where it would start.
    pub da: DeviceAddr,
    /// How many bytes it would have.
    pub len: u64,
}

impl fmt::Display for NotMapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes at the device address {} lie in none of the remote's memories; link the firmware elsewhere, or \
             give the remote that memory",
            self.len, self.da
        )
    }
}

impl core::error::Error for NotMapped {}

/// A confirmed place: it lies whole in one memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which memory.
    pub space: usize,
    /// Where in it.
    pub at: usize,
    /// Where on the bus.
    pub pa: PhysAddr,
}

/// All memories of a remote core.
#[derive(Clone, Copy, Debug)]
pub struct Spaces<'a, M>(pub &'a [Space<M>]);

impl<M: Memory> Spaces<'_, M> {
    /// Confirms a claim: finds the memory in which all `len` bytes at `da` lie.
    ///
    /// # Errors
    /// If there is none. An empty range lies nowhere but inside.
    pub fn locate(&self, da: DeviceAddr, len: u64) -> Result<Place, NotMapped> {
        let refuse = NotMapped { da, len };
        self.0
            .iter()
            .enumerate()
            .find_map(|(index, space)| {
                let at = da.checked_sub(space.da)?;
                let end = at.checked_add(len)?;
                let pa = space.pa.checked_add(at)?;
                (end <= space.memory.len() as u64).then_some(Place { space: index, at: at as usize, pa })
            })
            .ok_or(refuse)
    }

    /// Where the byte at `da` is in this core's own address space, if the memory has a fixed place here.
    ///
    /// # Errors
    /// As for [`locate`](Self::locate).
    pub fn pointer(&self, da: DeviceAddr, len: u64) -> Result<Option<*mut u8>, NotMapped> {
        let place = self.locate(da, len)?;
        Ok(self.0.get(place.space).and_then(|space| space.memory.pointer(place.at)))
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// As for [`locate`](Self::locate).
    pub fn write(&self, da: DeviceAddr, from: &[u8]) -> Result<(), NotMapped> {
        let refuse = NotMapped { da, len: from.len() as u64 };
        let place = self.locate(da, refuse.len)?;
        let memory = &self.0.get(place.space).ok_or(refuse)?.memory;
        memory.copy_in(place.at, from).map_err(|_| refuse)?;
        memory.clean(place.at, from.len());
        Ok(())
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// As for [`locate`](Self::locate).
    pub fn read(&self, da: DeviceAddr, to: &mut [u8]) -> Result<(), NotMapped> {
        let refuse = NotMapped { da, len: to.len() as u64 };
        let place = self.locate(da, refuse.len)?;
        let memory = &self.0.get(place.space).ok_or(refuse)?.memory;
        memory.invalidate(place.at, to.len());
        memory.copy_out(place.at, to).map_err(|_| refuse)
    }

    /// Writes zeros.
    ///
    /// # Errors
    /// As for [`locate`](Self::locate).
    pub fn zero(&self, da: DeviceAddr, len: u64) -> Result<(), NotMapped> {
        self.locate(da, len)?;
        let mut done = 0;
        while done < len {
            let step = (len - done).min(256);
            let at = da.checked_add(done).ok_or(NotMapped { da, len })?;
            self.write(at, [0; 256].get(..step as usize).unwrap_or(&[]))?;
            done += step;
        }
        Ok(())
    }
}
