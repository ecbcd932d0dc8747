//! A whole group as bytes: to keep it, and to prove to others who is in it.
//!
//! | section | version | fields |
//! |---|---|---|
//! | 2 entries | 1 | all entries with their signatures, each after its parents |
//!
//! The order is the same on every device that has the same entries, and so are the bytes.

use tutti_model::{
    section::{SectionError, SectionWriter, Sections, Tag},
    signed::Signed,
};

use super::{
    Group,
    entry::MAX_ENTRY_LEN,
    error::GroupError,
    evaluate::evaluate,
    graph::MAX_ENTRIES,
    merge::{Intake, Pool, missing},
};

const ENTRIES: Tag = Tag(2);
const VERSION: u16 = 1;

/// No group is larger than this as bytes.
pub const MAX_ENCODED_LEN: usize = MAX_ENTRIES * (MAX_ENTRY_LEN + 2 + 64) + 64;

impl Group {
    /// The group as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let nodes = self.graph.nodes();
        let entries: Vec<&Signed> = self.graph.ordered(|_| ()).into_iter().map(|at| &nodes[at].signed).collect();
        let mut writer = SectionWriter::new();
        // Fails only beyond 4 GiB, which `MAX_ENCODED_LEN` is far below.
        let _ = writer.push(ENTRIES, VERSION, &entries);
        writer.finish()
    }

    /// Reads a group, checking every entry as if it had just arrived. Whose group it is remains to be seen: compare
    /// [`id`](Self::id) with what is expected.
    ///
    /// # Errors
    /// Anything that [`encode`](Self::encode) does not make is refused as a whole.
    pub fn decode(bytes: &[u8]) -> Result<Self, GroupError> {
        if bytes.len() > MAX_ENCODED_LEN {
            return Err(GroupError::TooLarge { entries: bytes.len() / (MAX_ENTRY_LEN + 2 + 64) });
        }
        let sections = Sections::new_checked(bytes).map_err(GroupError::Malformed)?;
        let section = sections.one(ENTRIES).map_err(GroupError::Malformed)?;
        let (entries, rest) = section.decode_front::<Vec<Signed>>().map_err(GroupError::Malformed)?;
        // Only a newer version has something behind the entries: here a count that is too small would cut the group short.
        if section.version <= VERSION && !rest.is_empty() {
            return Err(GroupError::Malformed(SectionError::Malformed(ENTRIES)));
        }
        if entries.len() > MAX_ENTRIES {
            return Err(GroupError::TooLarge { entries: entries.len() });
        }
        let (mut group, mut pool) = (Self::empty(), Pool::new());
        for (index, signed) in entries.into_iter().enumerate() {
            // One by one, so that a lie in the first entry costs no more than that.
            let mut intake = Intake::new(&mut group.graph, &mut pool, None);
            intake.take(index, signed, 0);
            intake.settle();
            if let Some((index, hash, fault)) = intake.fault {
                return Err(GroupError::BadEntry { index, hash, fault, merge: Default::default() });
            }
            if let Some(missing) = missing(&group.graph, &pool).first() {
                return Err(GroupError::Incomplete(*missing));
            }
        }
        if group.graph.nodes().is_empty() {
            return Err(GroupError::Empty);
        }
        group.state = evaluate(&group.graph);
        Ok(group)
    }
}
