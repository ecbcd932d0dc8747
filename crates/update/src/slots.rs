//! The slots and the record on a disk.
//!
//! The record is in the files `boot.0` and `boot.1` of a folder on the state partition; a record with an even sequence
//! number goes into the first, with an odd one into the second. So the one that holds is never written to, and a
//! power cut while the other is written leaves it as it was. Slots are files, or partitions.
//!
//! The first bytes of a slot are erased before anything else is written there, and those of the new image come last: a slot
//! that was being written is seen to be none without reading it whole. What decides is the check at every start.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    image::{Head, ImageError, Key},
    kernel::{self, Machine, NoWay},
    record::{self, Choice, Record, Slot},
    version::Version,
};

/// The first bytes of a slot, which are written last.
const FIRST: usize = 4096;

/// How much is read and written at a time.
const PIECE: usize = 64 * 1024;

/// The slots of this device.
#[derive(Debug, Clone)]
pub struct Slots {
    folder: PathBuf,
    slots: [PathBuf; 2],
    key: Key,
}

/// Why an image was not installed.
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// It is no image for this device.
    Image(ImageError),
    /// It is of another product.
    Product {
        /// What it is of.
        image: String,
        /// What this device is.
        device: String,
    },
    /// It is older than what was good here.
    Older {
        /// How old.
        image: Version,
        /// The oldest that is taken.
        floor: Version,
    },
    /// It is for another kernel than runs here, and that cannot be started.
    Kernel {
        /// What it is for.
        image: String,
        /// What runs.
        device: String,
        /// Why it cannot be started.
        why: NoWay,
    },
    /// It is for another processor.
    Processor {
        /// What it is for.
        image: String,
        /// What this device has.
        device: String,
    },
    /// The slot cannot be written.
    Slot(PathBuf, io::Error),
    /// The record cannot be written.
    Record(io::Error),
    /// What was written is not what is read back.
    Readback(ImageError),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => write!(f, "the image is refused: {error}"),
            Self::Product { image, device } => {
                write!(f, "the image is refused: it is of the product {image:?}, and this device is a {device:?}")
            }
            Self::Older { image, floor } => {
                write!(f, "the image is refused: its version {image} is older than {floor}, which has run well here")
            }
            Self::Kernel { image, device, why } => write!(
                f,
                "the image is refused: it is for Linux {image}, {device} runs here, and {why}; build it with the kernel \
                 that runs, or write the boot medium anew"
            ),
            Self::Processor { image, device } => {
                write!(f, "the image is refused: it is for {image}, and this device is {device}")
            }
            Self::Slot(path, error) => write!(f, "{} cannot be written: {error}", path.display()),
            Self::Record(error) => write!(f, "which system to start cannot be written down: {error}"),
            Self::Readback(error) => {
                write!(f, "what was stored of the image is damaged ({error}); the disk may be worn out")
            }
        }
    }
}

impl std::error::Error for InstallError {}

/// What an image is held against.
#[derive(Debug, Clone)]
pub struct Device {
    /// What this device is.
    pub product: String,
    /// What runs on it.
    pub running: Choice,
    /// Which version of it.
    pub version: Version,
    /// What it is.
    pub machine: Machine,
    /// Whether it can be started by another kernel, or why not.
    pub other_kernels: Result<(), String>,
}

impl Slots {
    /// The record in `folder`, the systems in `slots`, signed by `key`.
    pub const fn new(folder: PathBuf, slots: [PathBuf; 2], key: Key) -> Self {
        Self { folder, slots, key }
    }

    /// The record that holds; that of a device that was never updated if there is none.
    pub fn record(&self) -> Record {
        let both = [0, 1].into_iter().filter_map(|which| {
            let file = File::open(self.record_file(which)).ok()?;
            let mut bytes = Vec::with_capacity(record::LEN + 1);
            file.take(record::LEN as u64 + 1).read_to_end(&mut bytes).ok()?;
            Record::parse(&bytes)
        });
        both.max_by_key(|record| record.sequence).unwrap_or_default()
    }

    /// Writes a record. When this returns, it holds whatever happens.
    ///
    /// # Errors
    /// What the operating system says; then the last one holds.
    pub fn write(&self, record: &Record) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.record_file(record.sequence % 2);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.write_all(&record.emit())?;
        file.set_len(record::LEN as u64)?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    fn record_file(&self, which: u64) -> PathBuf {
        self.folder.join(format!("boot.{which}"))
    }

    fn slot(&self, slot: Slot) -> &Path {
        let [a, b] = &self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// Opens what is in a slot, its beginning checked; what follows is checked by [`Head::take_members`] while it is read.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn open(&self, slot: Slot) -> Result<(Head, impl Read + use<>), ImageError> {
        let mut file = BufReader::with_capacity(PIECE, File::open(self.slot(slot))?);
        let head = Head::read(&mut file, self.key)?;
        Ok((head, file))
    }

    /// The version in a slot, if what is there is whole.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, slot: Slot) -> Result<Version, ImageError> {
        let (head, mut rest) = self.open(slot)?;
        head.check_members(&mut rest)?;
        Ok(head.manifest.version)
    }

    /// Whether an image may be installed, by its beginning.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub fn admit(&self, image: &mut impl Read, device: &Device) -> Result<Head, InstallError> {
        let head = Head::read(image, self.key).map_err(InstallError::Image)?;
        let manifest = &head.manifest;
        if manifest.product != device.product {
            return Err(InstallError::Product { image: manifest.product.clone(), device: device.product.clone() });
        }
        let floor = self.record().floor.max(device.version);
        if manifest.version < floor {
            return Err(InstallError::Older { image: manifest.version, floor });
        }
        let Machine { architecture, .. } = &device.machine;
        if !manifest.architecture.is_empty() && manifest.architecture != *architecture {
            let (image, device) = (manifest.architecture.clone(), architecture.clone());
            return Err(InstallError::Processor { image, device });
        }
        kernel::way(&head, &device.machine, &device.other_kernels).map_err(|why| no_way(&head, device, why))?;
        Ok(head)
    }

    /// Installs an image for trial at the next start. `open` gives it from its beginning, as often as it is called;
    /// `progress` is told of bytes written, of how many.
    ///
    /// Interrupted anywhere, the device starts as it would have before, and this can be done again.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub fn install<R: Read>(
        &self,
        mut open: impl FnMut() -> io::Result<R>,
        device: &Device,
        tries: u8,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(Slot, Version), InstallError> {
        let unreadable = |error: io::Error| InstallError::Image(ImageError::Io(error));
        let mut image = open().map_err(unreadable)?;
        let head = self.admit(&mut image, device)?;
        let mut form = Ok(());
        let checked = head.take_members(&mut image, |role, member| {
            if role == "kernel" && !head.manifest.is_for_kernel(&device.machine.release) {
                form = kernel::look(member, &device.machine)?;
            }
            Ok(())
        });
        checked.map_err(InstallError::Image)?;
        form.map_err(|why| no_way(&head, device, why))?;
        let record = self.record();
        let slot = record.free(device.running);
        if record.trial.is_some_and(|(trial, _)| trial == slot) {
            // What is on trial there is overwritten: it must not be started half-way.
            self.write(&record.emptied(slot)).map_err(InstallError::Record)?;
        }
        let path = self.slot(slot);
        let image = open().map_err(unreadable)?;
        write_slot(path, image, head.image_len(), &mut progress)
            .map_err(|error| InstallError::Slot(path.to_owned(), error))?;
        // Read back: a disk may have taken it and not kept it, and the parts may have changed since they were checked.
        let version = self.check(slot).map_err(InstallError::Readback)?;
        if version != head.manifest.version {
            return Err(InstallError::Readback(ImageError::Signature));
        }
        let record = self.record().staged(slot, tries);
        self.write(&record).map_err(InstallError::Record)?;
        Ok((slot, version))
    }
}

fn no_way(head: &Head, device: &Device, why: NoWay) -> InstallError {
    InstallError::Kernel { image: head.manifest.kernel.clone(), device: device.machine.release.clone(), why }
}

fn write_slot(path: &Path, mut image: impl Read, len: u64, progress: &mut impl FnMut(u64, u64)) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    let plain = file.metadata()?.is_file();
    // From here on there is nothing in it.
    file.write_all(&[0; FIRST])?;
    file.sync_data()?;
    if plain {
        file.set_len(len)?;
    }
    let mut first = vec![0; usize::try_from(len).unwrap_or(FIRST).min(FIRST)];
    image.read_exact(&mut first)?;
    file.seek(SeekFrom::Start(first.len() as u64))?;
    let mut piece = vec![0; PIECE];
    let mut written = first.len() as u64;
    while written < len {
        let most = usize::try_from(len - written).unwrap_or(PIECE).min(PIECE);
        let piece = piece.get_mut(..most).unwrap_or_default();
        image.read_exact(piece)?;
        file.write_all(piece)?;
        written += piece.len() as u64;
        progress(written, len);
    }
    file.sync_data()?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&first)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) if plain => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::Failure,
        testing::{Made, key},
    };

    fn device() -> Device {
        Device {
            product: "gateway".into(),
            running: Choice::BuiltIn,
            version: Version([1, 0, 0]),
            machine: Machine { release: "6.1.0-40-amd64".into(), architecture: "x86_64".into(), memory: 1 << 30 },
            other_kernels: Ok(()),
        }
    }

    fn slots() -> (tempfile::TempDir, Slots) {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join("slots").join(name));
        let slots = Slots::new(folder.path().join("system"), paths, key(1).1);
        (folder, slots)
    }

    fn install(slots: &Slots, image: &[u8], device: &Device) -> Result<(Slot, Version), InstallError> {
        slots.install(|| Ok(image), device, 3, |_, _| ())
    }

    fn image(version: &str) -> Vec<u8> {
        Made::new("gateway", version, &vec![version.as_bytes()[0]; 100_000]).sign(&key(1).0)
    }

    #[test]
    fn systems_come_one_after_the_other() {
        let (_folder, slots) = slots();
        assert_eq!(slots.record(), Record::default());
        let mut device = device();
        assert_eq!(install(&slots, &image("1.1.0"), &device).unwrap(), (Slot::A, Version([1, 1, 0])));
        assert_eq!(slots.record().trial, Some((Slot::A, 3)));
        slots.write(&slots.record().confirmed(Slot::A, Version([1, 1, 0]))).unwrap();
        (device.running, device.version) = (Choice::Slot(Slot::A), Version([1, 1, 0]));
        assert_eq!(install(&slots, &image("2.0.0"), &device).unwrap().0, Slot::B);
        assert_eq!(install(&slots, &image("2.0.1"), &device).unwrap().0, Slot::B, "never where it runs");
        assert_eq!(slots.check(Slot::B).unwrap(), Version([2, 0, 1]));
        assert_eq!(slots.check(Slot::A).unwrap(), Version([1, 1, 0]));
        slots.write(&slots.record().failed(Version([2, 0, 1]), Failure::NotJoined)).unwrap();
        assert_eq!(slots.record().failed, Some((Version([2, 0, 1]), Failure::NotJoined)));
    }

    #[test]
    fn each_refusal_says_why_and_leaves_all_as_it_was() {
        let (_folder, slots) = slots();
        install(&slots, &image("1.1.0"), &device()).unwrap();
        slots.write(&slots.record().confirmed(Slot::A, Version([1, 1, 0]))).unwrap();
        let device = Device { running: Choice::Slot(Slot::A), ..device() };
        let before = slots.record();
        let good = image("2.0.0");
        let mut tampered = good.clone();
        *tampered.last_mut().unwrap() ^= 1;
        let other = |made: Made| made.sign(&key(1).0);
        let cases = [
            (Made::new("gateway", "2.0.0", b"x").sign(&key(2).0), "signed by another key"),
            (tampered, "its initramfs was altered"),
            (good[..good.len() - 1].to_vec(), "its initramfs was altered or cut off"),
            (image("1.0.9"), "older than 1.1.0"),
            (other(Made::new("panel", "2.0.0", b"x")), "of the product \"panel\""),
            (
                other(Made::new("gateway", "2.0.0", b"x").for_kernel("Linux version 6.1.0-39-amd64 x")),
                "carries no kernel",
            ),
            (other(Made::new("gateway", "2.0.0", b"x").for_kernel("6.1.0-41").kernel(b"none")), "no kernel that"),
            (other(Made::new("gateway", "2.0.0", b"x").for_processor("aarch64")), "this device is x86_64"),
            (b"nonsense, and nothing else".to_vec(), "no image of Tutti"),
        ];
        for (image, why) in cases {
            let error = install(&slots, &image, &device).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(slots.record(), before);
            assert!(slots.check(Slot::A).is_ok());
        }
        let new =
            other(Made::new("gateway", "2.0.0", b"x").for_kernel("6.1.0-41").kernel(&kernel::testing::for_a_pc()));
        let old = Device { other_kernels: Err("it is too old".into()), ..device.clone() };
        assert!(install(&slots, &new, &old).unwrap_err().to_string().contains("and it is too old; build it"));
        let fits = Made::new("gateway", "2.0.0", b"x").for_kernel("Linux version 6.1.0-40-amd64 (somebody)");
        install(&slots, &other(fits), &device).unwrap();
        install(&slots, &new, &device).unwrap();
    }

    /// A record that is torn at any byte while it is written leaves the one before it.
    #[test]
    fn a_power_cut_in_a_record_leaves_the_last_one() {
        let (folder, slots) = slots();
        let old = Record::default().staged(Slot::A, 3);
        slots.write(&old).unwrap();
        let new = old.confirmed(Slot::A, Version([1, 1, 0]));
        let path = folder.path().join(format!("system/boot.{}", new.sequence % 2));
        let before = Record { sequence: 0, ..old }.emit();
        for len in 0..=record::LEN {
            // The new one as far as it came, over what was there.
            let torn = [&new.emit()[..len], &before[len..]].concat();
            fs::write(&path, torn).unwrap();
            let expected = if len == record::LEN { new } else { old };
            assert_eq!(slots.record(), expected, "{len}");
            fs::write(&path, &new.emit()[..len]).unwrap();
            assert_eq!(slots.record(), expected, "{len}, a new file");
        }
    }

    /// A power cut while a slot is written: what runs is what ran before, and it can be done again.
    #[test]
    fn a_cut_image_is_never_started() {
        let (_folder, slots) = slots();
        let device = device();
        let whole = image("1.1.0");
        for cut in [0, 1, 100, FIRST - 1, FIRST, FIRST + 1, 50_000, whole.len() - 1] {
            let mut opened = 0;
            let result = slots.install(
                || {
                    opened += 1;
                    // Whole while it is checked, broken off while it is written.
                    Ok(if opened == 1 { &whole[..] } else { &whole[..cut] })
                },
                &device,
                3,
                |_, _| (),
            );
            assert!(matches!(result, Err(InstallError::Slot(..))), "{cut}: {result:?}");
            let start = slots.record().start(|slot| slots.check(slot).ok());
            assert_eq!((start.run, start.trial), (Choice::BuiltIn, false), "{cut}");
        }
        install(&slots, &whole, &device).unwrap();
        assert_eq!(slots.record().start(|slot| slots.check(slot).ok()).run, Choice::Slot(Slot::A));
    }
}
