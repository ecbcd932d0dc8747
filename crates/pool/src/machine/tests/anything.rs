//! Whatever comes.

use super::*;

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![0x0101..0x0106_u16, 0x0201..0x0209_u16, 0x0301..0x0306_u16, 0x0401..0x0407_u16];
    let payload = proptest::collection::vec(any::<u8>(), 0..150);
    let framed = (tag, 0..3_u16, payload).prop_map(|(tag, version, payload)| {
        let mut writer = tutti_model::section::SectionWriter::new();
        writer.push_raw(tutti_model::section::Tag(tag), version, &payload).unwrap();
        writer.finish()
    });
    prop_oneof![4 => framed, 1 => proptest::collection::vec(any::<u8>(), 0..100)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Any bytes from members and strangers, in any order, are taken without a panic, and every request is answered.
    #[test]
    fn any_bytes_are_taken(inputs in proptest::collection::vec((0..4_u8, 2..6_u8, any_message()), 1..20)) {
        let mut node = Node::new(1);
        node.up(2, 2);
        node.up(3, 1);
        let held = command(&mut node, Command::Acquire {
            resource: lamp(2), mode: LeaseMode::Exclusive, duration: Duration::from_secs(5), renewed: true,
        });
        for (sort, from, bytes) in inputs {
            let from = id(from);
            let bytes = Bytes::from(bytes);
            node.calls += 1;
            let call = CallId(node.calls);
            match sort {
                0 => node.give(Input::Notice { from, bytes }),
                1 => {
                    node.give(Input::Request { call, from, bytes });
                    let begun = node.performing().map(|(id, _)| id);
                    if let Some(id) = begun {
                        node.give(Input::Performed { id, result: Err(Refusal::TimedOut) });
                    }
                    prop_assert!(node.answer(call).is_some());
                }
                2 => node.give(Input::Stream { call, from, header: bytes }),
                _ => {
                    let asked = node.out.iter().find_map(|out| match out {
                        Output::Request { id, .. } => Some(*id),
                        _ => None,
                    });
                    node.give(Input::Response { id: asked.unwrap_or(RequestId(1)), result: Ok(bytes) });
                }
            }
            node.wait(Duration::from_millis(300));
        }
        let _ = outcome(&mut node, held);
    }
}
