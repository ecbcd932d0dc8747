//! Whether an app can be carried to another device, and how it is made so.
//!
//! A component gives its host no way to its memory. So `tutti app build` adds one to the core module, once, before it becomes a
//! component: the interface `carry` of `wit/carry.wit`, which reads and writes the memory and the mutable globals through the
//! canonical ABI ([`instrument`], feature `build`). This module says what can be carried that way ([`check`]), with a reason where
//! not, when an app is built and again when it is installed: a package built by somebody else is only a claim.
//!
//! What is carried is one memory and mutable globals of numbers. A table that changes, a second memory, a memory that others share, and
//! exceptions or references held in globals are state that this way does not see, so a module that has them is refused.

use std::fmt;

use wasmparser::{ConstExpr, Encoding, KnownCustom, Name, Operator, Parser, Payload, TypeRef, ValType};

#[cfg(feature = "build")]
mod instrument;

#[cfg(feature = "build")]
pub use instrument::{BuildError, component, instrument};

/// The name of the interface that carries.
pub const INTERFACE: &str = "tutti:app/carry@0.1.0";

/// Why an app cannot be carried to another device. It can still run where it is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// It is not WebAssembly, or not valid.
    Invalid(String),
    /// It was built without what carries it.
    NotInstrumented,
    /// It has several modules with state.
    SeveralModules,
    /// Not exactly one memory of its own.
    Memory(&'static str),
    /// A global holds something other than a number.
    Global(u32),
    /// An instruction changes state that is not carried.
    Instruction(&'static str),
    /// More mutable globals than a snapshot holds.
    ManyGlobals(usize),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it cannot be moved while it runs: ")?;
        match self {
            Self::Invalid(why) => write!(f, "it is not valid WebAssembly ({why})"),
            Self::NotInstrumented => f.write_str("it was not built by `tutti app build`"),
            Self::SeveralModules => f.write_str("it is made of several modules with state of their own"),
            Self::Memory(what) => f.write_str(what),
            Self::Global(at) => write!(f, "global {at} holds something other than a number"),
            Self::Instruction(what) => write!(f, "its code changes what is not carried ({what})"),
            Self::ManyGlobals(count) => write!(f, "it has {count} mutable globals"),
        }
    }
}

impl std::error::Error for Obstacle {}

/// What of a core module is its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The mutable globals, by index, with their types.
    pub globals: Vec<(u32, ValType)>,
    /// The bytes below this are the stack, which is dead between events: nothing of it needs carrying. 0 if that is not known.
    pub stack: u32,
    /// How many memories it has.
    memories: u32,
}

impl State {
    fn is_empty(&self) -> bool {
        self.globals.is_empty() && self.memories == 0
    }
}

/// What of a core module is its state, if that can be carried.
pub fn check(module: &[u8]) -> Result<State, Obstacle> {
    let mut state = State::default();
    let invalid = |error: wasmparser::BinaryReaderError| Obstacle::Invalid(error.to_string());
    let (mut global, mut first, mut lowest, mut stack) = (0, None, u64::MAX, None);
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Component, .. } => {
                return Err(Obstacle::Invalid("a component where a module was expected".into()));
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import.map_err(invalid)?.ty {
                        TypeRef::Memory(_) => return Err(Obstacle::Memory("its memory is not its own")),
                        TypeRef::Global(it) => {
                            if it.mutable {
                                return Err(Obstacle::Global(global));
                            }
                            global += 1;
                        }
                        TypeRef::Tag(_) => return Err(Obstacle::Instruction("exceptions")),
                        _ => {}
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory.map_err(invalid)?;
                    state.memories += 1;
                    if memory.shared || memory.memory64 || memory.page_size_log2.is_some_and(|it| it != 16) {
                        return Err(Obstacle::Memory("its memory is shared, 64-bit or has odd pages"));
                    }
                }
            }
            Payload::GlobalSection(globals) => {
                for it in globals {
                    let it = it.map_err(invalid)?;
                    if it.ty.mutable {
                        let number =
                            matches!(it.ty.content_type, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
                        if !number {
                            return Err(Obstacle::Global(global));
                        }
                        state.globals.push((global, it.ty.content_type));
                    }
                    if global == 0 {
                        first = constant(&it.init_expr);
                    }
                    global += 1;
                }
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader().map_err(invalid)? {
                    if let Some(what) = foreign(&operator.map_err(invalid)?) {
                        return Err(Obstacle::Instruction(what));
                    }
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    if let wasmparser::DataKind::Active { offset_expr, .. } = segment.map_err(invalid)?.kind {
                        lowest = lowest.min(constant(&offset_expr).map_or(0, u64::from));
                    }
                }
            }
            Payload::CustomSection(custom) => {
                if let KnownCustom::Name(names) = custom.as_known() {
                    for name in names.into_iter().flatten() {
                        if let Name::Global(globals) = name {
                            let is = |it: &wasmparser::Naming<'_>| it.index == 0 && it.name == "__stack_pointer";
                            stack = stack.or(globals.into_iter().flatten().find(is).map(|_| ()));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    if state.memories > 1 {
        return Err(Obstacle::Memory("it has several memories"));
    }
    if state.globals.len() > crate::snapshot::MAX_GLOBALS {
        return Err(Obstacle::ManyGlobals(state.globals.len()));
    }
    // The stack grows down from where its pointer starts; it is at the bottom if no data is below that.
    if let (Some(()), Some(top)) = (stack, first)
        && u64::from(top) <= lowest
        && state.globals.first().is_some_and(|(index, _)| *index == 0)
    {
        state.stack = top;
    }
    Ok(state)
}

/// Whether a component can be carried: it has been instrumented, and but one of its modules has state, of a kind that can be.
pub fn check_component(component: &[u8]) -> Result<(), Obstacle> {
    let invalid = |error: wasmparser::BinaryReaderError| Obstacle::Invalid(error.to_string());
    let (mut carried, mut with_state, mut depth) = (false, 0, 0u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(invalid)? {
            Payload::ModuleSection { unchecked_range, .. } => {
                let module = component.get(unchecked_range).unwrap_or_default();
                let state = check(module)?;
                with_state += u32::from(!state.is_empty());
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    carried |= export.map_err(invalid)?.name.name == INTERFACE;
                }
            }
            _ => {}
        }
    }
    match (carried, with_state) {
        (false, _) => Err(Obstacle::NotInstrumented),
        (true, 0 | 1) => Ok(()),
        (true, _) => Err(Obstacle::SeveralModules),
    }
}

fn constant(expression: &ConstExpr<'_>) -> Option<u32> {
    let mut operators = expression.get_operators_reader();
    match operators.read().ok()? {
        Operator::I32Const { value } => Some(value as u32),
        _ => None,
    }
}

/// Whether an instruction changes state beside memory and globals.
fn foreign(operator: &Operator<'_>) -> Option<&'static str> {
    Some(match operator {
        Operator::TableSet { .. } => "table.set",
        Operator::TableGrow { .. } => "table.grow",
        Operator::TableFill { .. } => "table.fill",
        Operator::TableCopy { .. } => "table.copy",
        Operator::TableInit { .. } => "table.init",
        Operator::ElemDrop { .. } => "elem.drop",
        Operator::DataDrop { .. } => "data.drop",
        Operator::MemoryAtomicWait32 { .. } | Operator::MemoryAtomicWait64 { .. } => "atomic waits",
        _ => return None,
    })
}
