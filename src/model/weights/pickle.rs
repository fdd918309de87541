//! The part of Python's pickle language in which `torch.save` writes a dictionary of tensors.
//!
//! A pickle is a program for a stack machine, and a general one can call any function. This machine knows only what makes a
//! dictionary of tensors: the four functions and the storage classes of [`Global`]. Everything else is refused by its name, and
//! nothing is ever executed. Objects live in an arena, so that no file can make them nest deep enough to overflow the stack.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::stored::Element;

/// What a pickle may name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Global {
    /// `collections.OrderedDict`: an empty dictionary.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: a view of a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`: its first argument.
    RebuildParameter,
    /// A class of storages, for its kind of numbers.
    Storage(Element),
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        let element = |element: &str| Some(Global::Storage(Element::Other(element.to_owned())));
        match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("torch", "FloatStorage") => Some(Global::Storage(Element::F32)),
            ("torch", "HalfStorage") => Some(Global::Storage(Element::F16)),
            ("torch", "BFloat16Storage") => Some(Global::Storage(Element::Bf16)),
            ("torch", "DoubleStorage") => element("F64"),
            ("torch", "LongStorage") => element("I64"),
            ("torch", "IntStorage") => element("I32"),
            ("torch", "ShortStorage") => element("I16"),
            ("torch", "CharStorage") => element("I8"),
            ("torch", "ByteStorage") => element("U8"),
            ("torch", "BoolStorage") => element("BOOL"),
            _ => None,
        }
    }
}

/// The numbers that tensors are views of: a member of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// The member's name below `data/`.
    pub(super) key: Rc<str>,
    pub(super) element: Element,
    /// How many numbers it has.
    pub(super) count: usize,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorView {
    pub(super) storage: Storage,
    /// Numbers before the first one.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Value {
    Nothing,
    Bool,
    Int(i64),
    Text(Rc<str>),
    /// What stands in the arena at this place.
    Object(usize),
}

#[derive(Debug)]
enum Object {
    Global(Global),
    Tuple(Vec<Value>),
    Dictionary(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(TensorView),
}

/// The tensors by name, in the order of the dictionary that `pickle` describes.
///
/// # Errors
/// What in it is no part of a dictionary of tensors.
pub(super) fn tensors(pickle: &[u8]) -> Result<Vec<(Rc<str>, TensorView)>, String> {
    let mut machine =
        Machine { rest: pickle, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new(), arena: Vec::new() };
    let result = machine.run()?;
    let Value::Object(place) = result else { return Err("it holds no dictionary of tensors".to_owned()) };
    let Object::Dictionary(entries) = &machine.arena[place] else {
        return Err("it holds no dictionary of tensors".to_owned());
    };
    let mut found: Vec<(Rc<str>, TensorView)> = Vec::with_capacity(entries.len());
    let mut names = BTreeSet::new();
    for (key, value) in entries {
        let Value::Text(name) = key else { return Err("a key of its dictionary is not text".to_owned()) };
        let tensor = match value {
            Value::Object(place) => match &machine.arena[*place] {
                Object::Tensor(tensor) => Some(tensor),
                _ => None,
            },
            _ => None,
        };
        let Some(tensor) = tensor else {
            return Err(format!("{name} is not a tensor; expected what torch.save(model.state_dict()) writes"));
        };
        if !names.insert(name.clone()) {
            return Err(format!("{name} is there twice"));
        }
        found.push((name.clone(), tensor.clone()));
    }
    Ok(found)
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<usize, Value>,
    arena: Vec<Object>,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Value, String> {
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                0x80 => {
                    let version = self.take(1)?[0];
                    if version > 5 {
                        return Err(format!("it is of pickle protocol {version}; 5 is the last one known"));
                    }
                }
                0x95 => drop(self.take(8)?), // FRAME
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.stack.push(Value::Nothing),
                0x88 | 0x89 => self.stack.push(Value::Bool),
                b'J' => {
                    let number = self.array().map(i32::from_le_bytes)?;
                    self.stack.push(Value::Int(number.into()));
                }
                b'K' => {
                    let number = self.take(1)?[0];
                    self.stack.push(Value::Int(number.into()));
                }
                b'M' => {
                    let number = self.array().map(u16::from_le_bytes)?;
                    self.stack.push(Value::Int(number.into()));
                }
                0x8a => self.long()?,
                b'X' => {
                    let length = self.array().map(u32::from_le_bytes)? as usize;
                    self.text(length)?;
                }
                0x8c => {
                    let length = self.take(1)?[0].into();
                    self.text(length)?;
                }
                b'}' => self.push(Object::Dictionary(Vec::new())),
                b')' => self.push(Object::Tuple(Vec::new())),
                b't' => {
                    let items = self.marked()?;
                    self.push(Object::Tuple(items));
                }
                0x85..=0x87 => {
                    let items = self.pop_many(usize::from(opcode) - 0x84)?;
                    self.push(Object::Tuple(items));
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Value::Text(module), Value::Text(name)) = (module, name) else { return Err(malformed()) };
                    self.global(&module, &name)?;
                }
                b'q' => {
                    let place = self.take(1)?[0].into();
                    self.remember(place)?;
                }
                b'r' => {
                    let place = self.array().map(u32::from_le_bytes)? as usize;
                    self.remember(place)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' => {
                    let place = self.take(1)?[0].into();
                    self.recall(place)?;
                }
                b'j' => {
                    let place = self.array().map(u32::from_le_bytes)? as usize;
                    self.recall(place)?;
                }
                b's' => {
                    let pair = self.pop_many(2)?;
                    self.set(pair)?;
                }
                b'u' => {
                    let pairs = self.marked()?;
                    self.set(pairs)?;
                }
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                b'b' => {
                    // Attributes of a dictionary (`_metadata`, the versions of modules) say nothing of its tensors.
                    self.pop()?;
                    let Some(Value::Object(place)) = self.stack.last() else { return Err(malformed()) };
                    if !matches!(self.arena[*place], Object::Dictionary(_)) {
                        return Err("it sets attributes of an object that is no dictionary".to_owned());
                    }
                }
                other => return Err(format!("it uses pickle's operation 0x{other:02x}, which no tensor needs")),
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn line(&mut self) -> Result<String, String> {
        let length = self.rest.iter().position(|byte| *byte == b'\n').ok_or("it ends too early")?;
        let line = String::from_utf8_lossy(&self.rest[..length]).into_owned();
        self.rest = &self.rest[length + 1..];
        Ok(line)
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| malformed())?.into();
        self.stack.push(Value::Text(text));
        Ok(())
    }

    /// A number of up to eight bytes, in two's complement.
    fn long(&mut self) -> Result<(), String> {
        let length = self.take(1)?[0].into();
        let bytes = self.take(length)?;
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        whole.get_mut(..length).ok_or("it holds a number of more than 64 bits")?.copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(whole)));
        Ok(())
    }

    fn push(&mut self, object: Object) {
        self.stack.push(Value::Object(self.arena.len()));
        self.arena.push(object);
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(malformed)
    }

    /// The last `count` values of the stack.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let from = self.stack.len().checked_sub(count).ok_or_else(malformed)?;
        Ok(self.stack.split_off(from))
    }

    /// The values after the last mark.
    fn marked(&mut self) -> Result<Vec<Value>, String> {
        let from = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or_else(malformed)?;
        Ok(self.stack.split_off(from))
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let global = Global::named(module, name)
            .ok_or_else(|| format!("it asks for {module}.{name}, which is no part of a dictionary of tensors"))?;
        self.push(Object::Global(global));
        Ok(())
    }

    fn remember(&mut self, place: usize) -> Result<(), String> {
        let value = self.stack.last().ok_or_else(malformed)?.clone();
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<(), String> {
        let value = self.memo.get(&place).cloned().ok_or_else(malformed)?;
        self.stack.push(value);
        Ok(())
    }

    /// Adds keys and values to the dictionary on the stack.
    fn set(&mut self, pairs: Vec<Value>) -> Result<(), String> {
        let Some(Value::Object(place)) = self.stack.last() else { return Err(malformed()) };
        let Object::Dictionary(entries) = &mut self.arena[*place] else { return Err(malformed()) };
        let mut pairs = pairs.into_iter();
        while let Some(key) = pairs.next() {
            entries.push((key, pairs.next().ok_or_else(malformed)?));
        }
        Ok(())
    }

    fn object(&self, value: Option<&Value>) -> Option<&Object> {
        match value {
            Some(Value::Object(place)) => self.arena.get(*place),
            _ => None,
        }
    }

    fn tuple(&self, value: Option<&Value>) -> Result<&[Value], String> {
        match self.object(value) {
            Some(Object::Tuple(items)) => Ok(items),
            _ => Err(malformed()),
        }
    }

    /// `("storage", class, key, device, count)` on the stack becomes that storage.
    fn storage(&mut self) -> Result<(), String> {
        let identity = self.pop()?;
        let storage = match self.tuple(Some(&identity))? {
            [Value::Text(kind), class, Value::Text(key), Value::Text(_), Value::Int(count), ..]
                if &**kind == "storage" =>
            {
                let Some(Object::Global(Global::Storage(element))) = self.object(Some(class)) else {
                    return Err(malformed());
                };
                Storage { key: key.clone(), element: element.clone(), count: size(*count)? }
            }
            _ => return Err(malformed()),
        };
        self.push(Object::Storage(storage));
        Ok(())
    }

    /// Calls a function with a tuple of arguments.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let arguments = self.tuple(Some(&arguments))?.to_vec();
        match self.object(Some(&function)) {
            Some(Object::Global(Global::OrderedDict)) if arguments.is_empty() => {
                self.push(Object::Dictionary(Vec::new()));
            }
            Some(Object::Global(Global::RebuildParameter)) => {
                self.stack.push(arguments.first().ok_or_else(malformed)?.clone());
            }
            Some(Object::Global(Global::RebuildTensor)) => {
                let [storage, Value::Int(offset), shape, strides, ..] = arguments.as_slice() else {
                    return Err(malformed());
                };
                let Some(Object::Storage(storage)) = self.object(Some(storage)) else { return Err(malformed()) };
                let sizes = |value: &Value| -> Result<Vec<usize>, String> {
                    let number = |value: &Value| match value {
                        Value::Int(number) => size(*number),
                        _ => Err(malformed()),
                    };
                    self.tuple(Some(value))?.iter().map(number).collect()
                };
                let tensor = TensorView {
                    storage: storage.clone(),
                    offset: size(*offset)?,
                    shape: sizes(shape)?,
                    strides: sizes(strides)?,
                };
                if tensor.shape.len() != tensor.strides.len() {
                    return Err(malformed());
                }
                self.push(Object::Tensor(tensor));
            }
            _ => return Err(malformed()),
        }
        Ok(())
    }
}

fn size(number: i64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| malformed())
}

fn malformed() -> String {
    "its description of the tensors is malformed".to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `{NAME: _rebuild_tensor_v2(FloatStorage "7" of 6 numbers, 0, (2, 3), (3, 1), False, OrderedDict())}`, as torch 2 writes it.
    pub(crate) fn dictionary(name: &str) -> Vec<u8> {
        let mut pickle = b"\x80\x02}q\x00X".to_vec();
        pickle.extend((name.len() as u32).to_le_bytes());
        pickle.extend(name.as_bytes());
        pickle.extend(b"q\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storageq\x03");
        pickle.extend(b"ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x007q\x05X\x03\x00\x00\x00cpuq\x06K\x06tq\x07Q");
        pickle.extend(
            b"K\x00K\x02K\x03\x86q\x08K\x03K\x01\x86q\x09\x89ccollections\nOrderedDict\nq\x0a)Rq\x0btq\x0cRq\x0ds.",
        );
        pickle
    }

    #[test]
    fn a_dictionary_of_tensors_is_read() {
        let found = tensors(&dictionary("a.weight")).unwrap();
        let storage = Storage { key: "7".into(), element: Element::F32, count: 6 };
        let view = TensorView { storage, offset: 0, shape: vec![2, 3], strides: vec![3, 1] };
        assert_eq!(found, [("a.weight".into(), view)]);
    }

    #[test]
    fn anything_else_is_refused_by_its_name() {
        let cases: [(&[u8], &str); 9] = [
            (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "it asks for os.system"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "it asks for builtins.eval"),
            (b"\x80\x02}X\x05\x00\x00\x00epochK\x03s.", "epoch is not a tensor"),
            (b"\x80\x02K\x03.", "no dictionary of tensors"),
            (b"\x80\x02]q\x00.", "operation 0x5d"),
            (b"\x80\x09.", "protocol 9"),
            (b"\x80\x02}", "ends too early"),
            (b"R.", "malformed"),
            (b"\x80\x02}h\x07.", "malformed"),
        ];
        for (pickle, says) in cases {
            let error = tensors(pickle).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
        let twice = [&dictionary("a")[..dictionary("a").len() - 1], b"X\x01\x00\x00\x00ah\x0ds."].concat();
        assert_eq!(tensors(&twice).unwrap_err(), "a is there twice");
    }

    #[test]
    fn nesting_does_not_use_the_stack() {
        let deep = [b"\x80\x02N".to_vec(), vec![0x85; 1 << 20], b".".to_vec()].concat();
        assert_eq!(tensors(&deep).unwrap_err(), "it holds no dictionary of tensors");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_but_never_a_panic(
            cut in 0..200usize,
            place in 0..200usize,
            byte: u8,
            noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut pickle = dictionary("a.weight");
            let place = place % pickle.len();
            pickle[place] = byte;
            let _ = tensors(&pickle);
            pickle.truncate(cut);
            pickle.extend(&noise);
            let _ = tensors(&pickle);
            let _ = tensors(&noise);
        }
    }
}
