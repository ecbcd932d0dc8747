//! What home and standby say to each other, and how it looks in bytes.
//!
//! | tag | message | fields |
//! |---|---|---|
//! | 0651 | [`Message::Renew`] | instance, question, terms, epoch, saves |
//! | 0652 | [`Message::Granted`] | instance, question, mark |
//! | 0653 | [`Message::Refused`] | instance, pact, why |
//! | 0654 | [`Message::Succeeded`] | instance, pact, by, from |
//! | 0655 | [`Message::Release`] | instance, pact, epoch |
//! | 0656 | [`Message::Released`] | instance, pact |
//! | 0657 | [`Message::Have`] | instance, pact, mark |
//! | 0658 | [`Message::Want`] | instance, pact |
//!
//! One section a message, as in `tutti_model::message`; unknown sections beside it are skipped.

use serde::{Deserialize, Serialize};
use tutti_model::section::{SectionWriter, Sections, Tag};

use super::{Mark, Terms};
use crate::{
    handover::{MAX_MESSAGE, MessageError, Why},
    ids::{Epoch, InstanceId},
};

/// Tells the grants of one question from those of any other, of this run of the home or an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Question {
    /// Random, drawn when the home's program began.
    pub run: u64,
    /// Counts the questions since.
    pub number: u64,
}

/// About one instance, from one device to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Home to standby: may I run it for as long as the terms say? The last number is how many saves there are.
    Renew(Question, Terms, Epoch, u64),
    /// Standby to home: yes, counted from when you asked; and which checkpoint I have.
    Granted(Question, Option<Mark>),
    /// Standby to home: I will not guard it. Never said once something was granted under that pact.
    Refused(u64, Why),
    /// Standby to home: nothing below this epoch may run; if I have taken over, from which checkpoint.
    Succeeded(u64, Epoch, Option<Mark>),
    /// Home to standby: do not guard it any longer.
    Release(u64, Epoch),
    /// Standby to home: I guard nothing under this pact or an earlier one, and never will.
    Released(u64),
    /// Standby to home: this checkpoint is on my disk.
    Have(u64, Mark),
    /// Standby to home: what came does not follow what I have; send a whole one.
    Want(u64),
}

const FIRST: u16 = 0x0651;
const LAST: u16 = 0x0658;

impl Message {
    /// The message about `instance` as bytes.
    ///
    /// # Errors
    /// None in practice: every message is short.
    pub fn emit(&self, instance: InstanceId) -> Result<Vec<u8>, MessageError> {
        let mut writer = SectionWriter::new();
        match self {
            Self::Renew(question, terms, epoch, saves) => {
                writer.push(Tag(0x0651), 1, &(instance, question, terms, epoch, saves))?
            }
            Self::Granted(question, mark) => writer.push(Tag(0x0652), 1, &(instance, question, mark))?,
            Self::Refused(pact, why) => writer.push(Tag(0x0653), 1, &(instance, pact, why))?,
            Self::Succeeded(pact, by, from) => writer.push(Tag(0x0654), 1, &(instance, pact, by, from))?,
            Self::Release(pact, epoch) => writer.push(Tag(0x0655), 1, &(instance, pact, epoch))?,
            Self::Released(pact) => writer.push(Tag(0x0656), 1, &(instance, pact))?,
            Self::Have(pact, mark) => writer.push(Tag(0x0657), 1, &(instance, pact, mark))?,
            Self::Want(pact) => writer.push(Tag(0x0658), 1, &(instance, pact))?,
        };
        Ok(writer.finish())
    }

    /// Reads a message of this version or a later one, and what instance it is about.
    pub fn parse(bytes: &[u8]) -> Result<(InstanceId, Self), MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong);
        }
        let mut known = Sections::new_checked(bytes)?.iter().filter(|it| (FIRST..=LAST).contains(&it.tag.0));
        let (Some(section), None) = (known.next(), known.next()) else { return Err(MessageError::NotOne) };
        Ok(match section.tag.0 {
            0x0651 => section.decode().map(|(id, question, terms, epoch, saves)| {
                let renew = Self::Renew(question, terms, epoch, saves);
                (id, renew)
            })?,
            0x0652 => section.decode().map(|(id, question, mark)| (id, Self::Granted(question, mark)))?,
            0x0653 => section.decode().map(|(id, pact, why)| (id, Self::Refused(pact, why)))?,
            0x0654 => section.decode().map(|(id, pact, by, from)| (id, Self::Succeeded(pact, by, from)))?,
            0x0655 => section.decode().map(|(id, pact, epoch)| (id, Self::Release(pact, epoch)))?,
            0x0656 => section.decode().map(|(id, pact)| (id, Self::Released(pact)))?,
            0x0657 => section.decode().map(|(id, pact, mark)| (id, Self::Have(pact, mark)))?,
            _ => section.decode().map(|(id, pact)| (id, Self::Want(pact)))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standby::Settings;
    use tutti_model::DeviceId;

    const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);

    #[test]
    fn messages_read_as_they_were_written() {
        let epoch = Epoch::first(DeviceId::from_bytes([1; 32]));
        let terms = Terms { standby: epoch.home, pact: 9, settings: Settings::default() };
        let (question, mark) = (Question { run: 5, number: 300 }, Mark { epoch, saves: 4 });
        for message in [
            Message::Renew(question, terms, epoch, 77),
            Message::Granted(question, Some(mark)),
            Message::Refused(9, Why::Full),
            Message::Succeeded(9, epoch, Some(mark)),
            Message::Release(9, epoch),
            Message::Released(9),
            Message::Have(9, mark),
            Message::Want(9),
        ] {
            let bytes = message.emit(INSTANCE).unwrap();
            assert_eq!(Message::parse(&bytes), Ok((INSTANCE, message)));
            assert!(Message::parse(&bytes[..bytes.len() - 1]).is_err());
        }
        assert_eq!(Message::parse(&[]), Err(MessageError::NotOne));
    }

    #[test]
    fn golden_bytes() {
        let bytes = Message::Granted(Question { run: 300, number: 1 }, None).emit(INSTANCE).unwrap();
        let expected = [[0x52, 0x06, 1, 0, 20, 0, 0, 0].as_slice(), &[7; 16], &[0xac, 0x02, 1, 0]].concat();
        assert_eq!(bytes, expected);
    }
}
