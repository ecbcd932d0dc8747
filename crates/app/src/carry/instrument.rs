//! Adding `carry` to a core module, and making a component of it.
//!
//! Everything that is there keeps its place: types, functions and globals are added behind those that are there, so no index
//! in the code changes. One export changes: `cabi_realloc`. When the host has aimed ([`INTERFACE`]'s `aim`), it answers with that place, so
//! that the bytes of `write` go straight to where they belong; else it is the guest's own.

use std::{borrow::Cow, fmt};

use wasm_encoder::{
    BlockType, CodeSection, Encode, ExportKind, ExportSection, Function, GlobalSection, GlobalType, Instruction,
    MemArg, RawSection, TypeSection, ValType,
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{INTERFACE, Obstacle, State, check};

const WIT: &str = concat!(include_str!("../../../../wit/app.wit"), include_str!("../../../../wit/carry.wit"));

/// Why a core module could not be made into an app.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// It cannot be carried.
    Obstacle(Obstacle),
    /// It lacks something that every app has.
    Lacks(&'static str),
    /// The component could not be made: its imports and exports are not those of an app.
    Component(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(obstacle) => obstacle.fmt(f),
            Self::Lacks(what) => write!(f, "the module has no {what}; build it for wasm32-unknown-unknown as a cdylib"),
            Self::Component(why) => write!(f, "the module is not an app of world tutti:app/app: {why}"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<Obstacle> for BuildError {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

/// A component that can be carried, from a core module made with the bindings of world `tutti:app/app`.
pub fn component(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let mut module = instrument(module)?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("app.wit", WIT).map_err(failed)?;
    let world = resolve.select_world(&[package], Some("carried")).map_err(failed)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(failed)?;
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(failed)?;
    encoder.encode().map_err(failed)
}

/// An error of the tools with its causes.
fn failed(error: impl fmt::Display) -> BuildError {
    BuildError::Component(format!("{error:#}"))
}

/// What is counted of the module that is there.
#[derive(Default)]
struct Counts {
    types: u32,
    imported: u32,
    functions: u32,
    globals: u32,
    realloc: Option<u32>,
}

/// The module with the interface `carry`, but not yet its description.
pub fn instrument(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let state = check(module)?;
    let invalid = |error: wasmparser::BinaryReaderError| BuildError::Obstacle(Obstacle::Invalid(error.to_string()));
    let mut counts = Counts::default();
    let mut exports = ExportSection::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(invalid)? {
            Payload::TypeSection(types) => {
                for group in types {
                    counts.types += group.map_err(invalid)?.types().count() as u32;
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import.map_err(invalid)?.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => counts.imported += 1,
                        TypeRef::Global(_) => counts.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(functions) => counts.functions = functions.count(),
            Payload::GlobalSection(globals) => counts.globals += globals.count(),
            Payload::ExportSection(all) => {
                for export in all {
                    let export = export.map_err(invalid)?;
                    if export.name == "cabi_realloc" {
                        counts.realloc = Some(export.index);
                        continue;
                    }
                    let kind = match export.kind {
                        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
                        ExternalKind::Table => ExportKind::Table,
                        ExternalKind::Memory => ExportKind::Memory,
                        ExternalKind::Global => ExportKind::Global,
                        ExternalKind::Tag => ExportKind::Tag,
                    };
                    exports.export(export.name, kind, export.index);
                }
            }
            _ => {}
        }
    }
    if state.memories == 0 {
        return Err(BuildError::Lacks("memory"));
    }
    let added = Added::new(&state, &counts, exports);
    let mut out = wasm_encoder::Module::new();
    let mut missing = vec![("types", 1), ("functions", 3), ("globals", 6), ("exports", 7), ("code", 10)];
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(invalid)?;
        let Some((id, range)) = payload.as_section() else { continue };
        let data = &module[range.start..range.end];
        missing.retain(|(_, needed)| *needed != id);
        let data = match id {
            1 => extended(data, added.types.len(), &items(&added.types)),
            3 => extended(data, added.functions.len() as u32, &added.function_items()),
            6 => extended(data, 2, &items(&added.globals)),
            7 => Cow::Owned(section_of(&added.exports)),
            10 => extended(data, added.functions.len() as u32, &items(&added.code)),
            _ => Cow::Borrowed(data),
        };
        out.section(&RawSection { id, data: &data });
    }
    match missing.first() {
        Some((what, _)) => Err(BuildError::Lacks(what)),
        None => Ok(out.finish()),
    }
}

/// The contents of a section without its length.
fn section_of(section: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    let (_, at) = number(&bytes);
    bytes.split_off(at)
}

/// The items of a section without their number.
fn items(section: &impl Encode) -> Vec<u8> {
    let mut bytes = section_of(section);
    let (_, at) = number(&bytes);
    bytes.split_off(at)
}

/// A section with items added behind those that are there.
fn extended<'a>(data: &'a [u8], more: u32, items: &[u8]) -> Cow<'a, [u8]> {
    let (count, at) = number(data);
    let mut out = Vec::with_capacity(data.len() + items.len() + 5);
    (count + more).encode(&mut out);
    out.extend_from_slice(&data[at..]);
    out.extend_from_slice(items);
    Cow::Owned(out)
}

/// A number in LEB128 at the front, and how long it is. What the parser has accepted has one.
fn number(bytes: &[u8]) -> (u32, usize) {
    let (mut value, mut at) = (0u32, 0);
    for byte in bytes.iter().take(5) {
        value |= u32::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (value, at)
}

/// What is added.
struct Added {
    types: TypeSection,
    functions: Vec<u32>,
    globals: GlobalSection,
    exports: ExportSection,
    code: CodeSection,
}

impl Added {
    fn new(state: &State, counts: &Counts, exports: ExportSection) -> Self {
        use ValType::{I32, I64};
        let mut it = Self {
            types: TypeSection::new(),
            functions: Vec::new(),
            globals: GlobalSection::new(),
            exports,
            code: CodeSection::new(),
        };
        let (saved, aim) = (counts.globals, counts.globals + 1);
        let variable = |val_type| GlobalType { val_type, mutable: true, shared: false };
        it.globals.global(variable(I64), &wasm_encoder::ConstExpr::i64_const(0));
        it.globals.global(variable(I32), &wasm_encoder::ConstExpr::i32_const(-1));
        let word = |offset, align| MemArg { offset, align, memory_index: 0 };

        use Instruction as I;
        let name = |of: &str| format!("{INTERFACE}#{of}");
        it.add(counts, &name("globals"), &[], &[I32], |f| {
            f.instruction(&I::I32Const(state.globals.len() as i32));
        });
        it.add(counts, &name("get-global"), &[I32], &[I64], |f| get_global(f, state));
        it.add(counts, &name("set-global"), &[I32, I64], &[], |f| set_global(f, state));
        it.add(counts, &name("pages"), &[], &[I32], |f| {
            f.instruction(&I::MemorySize(0));
        });
        it.add(counts, &name("grow"), &[I32], &[I32], |f| {
            for step in [I::LocalGet(0), I::MemoryGrow(0), I::I32Const(-1), I::I32Ne] {
                f.instruction(&step);
            }
        });
        // (at, len, scratch): what stands at scratch is kept, and (at, len) put there as the answer.
        it.add(counts, &name("read"), &[I32, I32, I32], &[I32], |f| {
            for step in [
                I::LocalGet(2),
                I::I64Load(word(0, 3)),
                I::GlobalSet(saved),
                I::LocalGet(2),
                I::LocalGet(0),
                I::I32Store(word(0, 2)),
                I::LocalGet(2),
                I::LocalGet(1),
                I::I32Store(word(4, 2)),
                I::LocalGet(2),
            ] {
                f.instruction(&step);
            }
        });
        it.add(counts, &format!("cabi_post_{}", name("read")), &[I32], &[], |f| {
            for step in [I::LocalGet(0), I::GlobalGet(saved), I::I64Store(word(0, 3))] {
                f.instruction(&step);
            }
        });
        it.add(counts, &name("aim"), &[I32], &[], |f| {
            f.instruction(&I::LocalGet(0)).instruction(&I::GlobalSet(aim));
        });
        it.add(counts, &name("write"), &[I32, I32], &[], |f| {
            f.instruction(&I::I32Const(-1)).instruction(&I::GlobalSet(aim));
        });
        it.add(counts, "cabi_realloc", &[I32, I32, I32, I32], &[I32], |f| {
            for step in [
                I::GlobalGet(aim),
                I::I32Const(-1),
                I::I32Ne,
                I::If(BlockType::Result(I32)),
                I::GlobalGet(aim),
                I::Else,
            ] {
                f.instruction(&step);
            }
            match counts.realloc {
                Some(own) => {
                    (0..4).for_each(|at| _ = f.instruction(&I::LocalGet(at)));
                    f.instruction(&I::Call(own));
                }
                None => _ = f.instruction(&I::Unreachable),
            }
            f.instruction(&I::End);
        });
        it
    }

    fn add(
        &mut self,
        counts: &Counts,
        name: &str,
        params: &[ValType],
        results: &[ValType],
        body: impl FnOnce(&mut Function),
    ) {
        let index = counts.imported + counts.functions + self.functions.len() as u32;
        self.functions.push(counts.types + self.types.len());
        self.types.ty().function(params.iter().copied(), results.iter().copied());
        self.exports.export(name, ExportKind::Func, index);
        let mut function = Function::new([]);
        body(&mut function);
        function.instruction(&Instruction::End);
        self.code.function(&function);
    }

    fn function_items(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.functions.iter().for_each(|of| of.encode(&mut bytes));
        bytes
    }
}

/// If the first parameter is `at`, what follows, which ends the function.
fn each_global(f: &mut Function, state: &State, then: impl Fn(&mut Function, u32, wasmparser::ValType)) {
    use Instruction as I;
    for (at, (index, ty)) in state.globals.iter().enumerate() {
        for step in [I::LocalGet(0), I::I32Const(at as i32), I::I32Eq, I::If(BlockType::Empty)] {
            f.instruction(&step);
        }
        then(f, *index, *ty);
        f.instruction(&I::Return).instruction(&I::End);
    }
}

fn get_global(f: &mut Function, state: &State) {
    use Instruction as I;
    each_global(f, state, |f, index, ty| {
        f.instruction(&I::GlobalGet(index));
        match ty {
            wasmparser::ValType::I32 => _ = f.instruction(&I::I64ExtendI32U),
            wasmparser::ValType::F32 => _ = f.instruction(&I::I32ReinterpretF32).instruction(&I::I64ExtendI32U),
            wasmparser::ValType::F64 => _ = f.instruction(&I::I64ReinterpretF64),
            _ => {}
        }
    });
    f.instruction(&I::I64Const(0));
}

fn set_global(f: &mut Function, state: &State) {
    use Instruction as I;
    each_global(f, state, |f, index, ty| {
        f.instruction(&I::LocalGet(1));
        match ty {
            wasmparser::ValType::I32 => _ = f.instruction(&I::I32WrapI64),
            wasmparser::ValType::F32 => _ = f.instruction(&I::I32WrapI64).instruction(&I::F32ReinterpretI32),
            wasmparser::ValType::F64 => _ = f.instruction(&I::F64ReinterpretI64),
            _ => {}
        }
        f.instruction(&I::GlobalSet(index));
    });
}
