//! What a driver's and a device's end of a queue have in common, so that what is built on either can say it once.

use tutti_metal::Memory;
use tutti_virtio::{Corrupt, Device, DeviceSlot, Driver, DriverSlot, Features, Table};

/// An end of a queue; each method is the one of the same name of [`Driver`] and [`Device`].
pub trait Queue {
    fn corrupt(&self) -> Option<Corrupt>;
    fn refuse(&mut self, corrupt: Corrupt);
    fn has_more(&self) -> bool;
    fn prepare(&self);
    fn prepare_to_publish(&self);
    fn publish(&mut self) -> bool;
    fn publish_quietly(&mut self);
    fn listen(&mut self) -> Result<bool, Corrupt>;
    fn ignore(&mut self);
    fn reset(&mut self, features: Features);
}

/// The inherent methods, which win over those of the trait.
macro_rules! queue {
    ($end:ident, $slot:ident) => {
        impl<M: Memory, T: Table<$slot>> Queue for $end<M, T> {
            #[inline(always)]
            fn corrupt(&self) -> Option<Corrupt> {
                self.corrupt()
            }
            fn refuse(&mut self, corrupt: Corrupt) {
                self.refuse(corrupt);
            }
            #[inline(always)]
            fn has_more(&self) -> bool {
                self.has_more()
            }
            #[inline(always)]
            fn prepare(&self) {
                self.prepare();
            }
            #[inline(always)]
            fn prepare_to_publish(&self) {
                self.prepare_to_publish();
            }
            #[inline(always)]
            fn publish(&mut self) -> bool {
                self.publish()
            }
            #[inline(always)]
            fn publish_quietly(&mut self) {
                self.publish_quietly();
            }
            fn listen(&mut self) -> Result<bool, Corrupt> {
                self.listen()
            }
            fn ignore(&mut self) {
                self.ignore();
            }
            fn reset(&mut self, features: Features) {
                self.reset(features);
            }
        }
    };
}

queue!(Driver, DriverSlot);
queue!(Device, DeviceSlot);
