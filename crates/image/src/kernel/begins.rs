//! The memory that a kernel takes before anything else runs: it unpacks itself, and what lies above its code then is given back
//! only in part. Its file says how much that is.
//!
//! On a PC that is `init_size` of the header (`Documentation/arch/x86/boot.rst`, since protocol 2.10), on 64-bit Arm `image_size`
//! (`Documentation/arch/arm64/booting.rst`). With what the parts take it is near to what was measured: SPECIFICATION.md,
//! section *Images*.

use std::{fs::File, io::Read};

use super::Kernel;
use crate::size::Size;

/// The headers end before it.
const HEAD: u64 = 0x400;

impl Kernel {
    /// The memory that it takes to begin, if its file says so.
    pub fn begins_in(&self) -> Option<Size> {
        let mut head = Vec::new();
        File::open(&self.image).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
        begins_in(&head)
    }
}

fn begins_in(head: &[u8]) -> Option<Size> {
    let at = |begin: usize, length: usize| head.get(begin..begin + length);
    if at(0x202, 4)? == b"HdrS" {
        let protocol = u16::from_le_bytes(at(0x206, 2)?.try_into().ok()?);
        let init_size = u32::from_le_bytes(at(0x260, 4)?.try_into().ok()?);
        return (protocol >= 0x20a).then_some(Size(init_size.into()));
    }
    let image_size = u64::from_le_bytes(at(16, 8)?.try_into().ok()?);
    (at(56, 4)? == b"ARM\x64" && image_size > 0).then_some(Size(image_size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Project;
    use proptest::prelude::*;

    fn pc(protocol: u16, init_size: u32) -> Vec<u8> {
        let mut head = vec![0; 0x400];
        head[0x202..0x206].copy_from_slice(b"HdrS");
        head[0x206..0x208].copy_from_slice(&protocol.to_le_bytes());
        head[0x260..0x264].copy_from_slice(&init_size.to_le_bytes());
        head
    }

    #[test]
    fn a_kernel_says_what_it_takes_to_begin() {
        assert_eq!(begins_in(&pc(0x20f, 0x3f9_9000)), Some(Size(0x3f9_9000)));
        assert_eq!(begins_in(&pc(0x209, 7)), None);
        let mut arm = vec![0; 0x400];
        arm[16..24].copy_from_slice(&0x1e0_0000u64.to_le_bytes());
        assert_eq!(begins_in(&arm), None);
        arm[56..60].copy_from_slice(b"ARM\x64");
        assert_eq!(begins_in(&arm), Some(Size(0x1e0_0000)));
        assert_eq!(begins_in(b"\x7fELF"), None);
    }

    #[test]
    fn what_a_kernel_takes_to_begin_counts_against_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("product.toml");
        let text =
            "name = \"box\"\nversion = \"1.0.0\"\n[hardware]\nboard = \"qemu-x86-64\"\n[limits]\nram = \"64 MiB\"\n";
        std::fs::write(&path, text).unwrap();
        let project = Project::read(&path).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        let with = |init_size: u32| {
            let image = folder.path().join("bzImage");
            std::fs::write(&image, pc(0x20f, init_size)).unwrap();
            let kernel = Kernel { release: "6.12".into(), image, config: None, modules: None };
            (project.ram_with(&kernel), project.faults(project.hold_against(&kernel)).render(false))
        };
        // One for the product alone, and Debian's.
        assert_eq!(with(12 << 20), (Size(project.plan.ram.0 + (12 << 20)), String::new()));
        let (_, said) = with(64 << 20);
        assert!(said.contains("the kernel 6.12 64 MiB to begin") && said.contains("product.toml:6"), "{said}");
        assert!(said.contains("Help: allow ") && said.contains("tutti image kernel"), "{said}");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..0x300), magic in any::<bool>()) {
            let mut bytes = bytes;
            if let Some(at) = bytes.get_mut(0x202..0x206).filter(|_| magic) {
                at.copy_from_slice(b"HdrS");
            }
            let _ = begins_in(&bytes);
        }
    }
}
