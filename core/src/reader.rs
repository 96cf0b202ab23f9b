//! Which bytes are a valid safetensors file, and where do its tensors lie? A reader that allocates nothing, copies nothing and
//! trusts nothing.
//!
//! Format (huggingface/safetensors, *Format*): 8 bytes little-endian header length `N`; `N` bytes of JSON, an object from tensor
//! names to `{"dtype", "shape", "data_offsets"}` and optionally `__metadata__` (strings to strings); then the data, which the
//! tensors cover without hole or overlap. JSON escapes are accepted in metadata values only and not resolved there: no name and
//! no value that the runtime uses contains one.
//!
//! The header is checked once, in [`File::parse`]; afterwards it is walked again at each look-up, which costs microseconds and
//! saves the table.

use crate::error::ReadError;

/// Largest header accepted, in bytes.
pub const MAX_HEADER: usize = 1 << 20;
/// Most tensors accepted.
pub const MAX_TENSORS: usize = 256;
/// Most metadata keys accepted. The look-up for a key that stands twice takes time in their square.
pub const MAX_METADATA: usize = 256;
/// Most axes accepted.
pub const MAX_AXES: usize = 8;

/// A valid safetensors file in memory.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    header: &'a str,
    data: &'a [u8],
}

/// One tensor of a [`File`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dtype, as the file spells it.
    pub dtype: &'a str,
    /// Its axes; the first [`Tensor::rank`] count.
    axes: [usize; MAX_AXES],
    rank: usize,
    begin: u64,
    end: u64,
    /// Its bytes, little-endian.
    pub data: &'a [u8],
}

impl Tensor<'_> {
    /// The axes, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.axes[..self.rank]
    }

    /// Number of axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }
}

impl<'a> File<'a> {
    /// Checks `bytes` from end to end.
    ///
    /// # Errors
    /// The first [`ReadError`] found.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let truncated = |expected| ReadError::Truncated { expected, found: bytes.len() };
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(truncated(8))?;
        let length = u64::from_le_bytes(*length);
        let size = usize::try_from(length).ok().filter(|&size| size <= MAX_HEADER);
        let size = size.ok_or(ReadError::HeaderTooLarge { limit: MAX_HEADER, found: length })?;
        let (header, data) = rest.split_at_checked(size).ok_or(truncated(length + 8))?;
        let header = core::str::from_utf8(header).map_err(|error| ReadError::NotUtf8 { at: error.valid_up_to() })?;
        let file = Self { header, data };
        file.check()?;
        Ok(file)
    }

    /// The header, as it stands: names, shapes, metadata.
    #[must_use]
    pub const fn header(&self) -> &'a str {
        self.header
    }

    /// The tensors, in the header's order.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'a>> + use<'a> {
        // The header was checked by `parse`, so every entry is `Ok`.
        Entries::new(self.header, self.data).filter_map(|entry| match entry {
            Ok(Entry::Tensor(tensor)) => Some(tensor),
            _ => None,
        })
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<Tensor<'a>> {
        self.tensors().find(|tensor| tensor.name == name)
    }

    /// Keys and values of `__metadata__`; JSON escapes in a value are left as they stand.
    pub fn metadata_entries(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let object = Entries::new(self.header, self.data).find_map(|entry| match entry {
            Ok(Entry::Metadata(object)) => Some(object),
            _ => None,
        });
        object.into_iter().flat_map(Pairs::new).filter_map(Result::ok)
    }

    /// The metadata value of `key`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&'a str> {
        self.metadata_entries().find_map(|(k, value)| (k == key).then_some(value))
    }

    fn check(&self) -> Result<(), ReadError> {
        let mut count = 0;
        let mut filled = 0;
        let mut metadata = None;
        for (i, entry) in Entries::new(self.header, self.data).enumerate() {
            match entry? {
                Entry::Tensor(tensor) => {
                    count += 1;
                    if count > MAX_TENSORS {
                        return Err(ReadError::TooManyTensors { limit: MAX_TENSORS });
                    }
                    filled += usize::from(tensor.begin < tensor.end);
                    let earlier = Entries::new(self.header, self.data).take(i).flatten();
                    if earlier.into_iter().any(|e| matches!(e, Entry::Tensor(other) if other.name == tensor.name)) {
                        return Err(ReadError::Duplicate { name: tensor.name.into() });
                    }
                }
                Entry::Metadata(object) => {
                    if metadata.replace(object).is_some() {
                        return Err(ReadError::Duplicate { name: METADATA.into() });
                    }
                }
            }
        }
        for (i, pair) in metadata.into_iter().flat_map(Pairs::new).enumerate() {
            let (key, _) = pair?;
            if i == MAX_METADATA {
                return Err(ReadError::TooManyKeys { limit: MAX_METADATA });
            }
            let mut earlier = metadata.into_iter().flat_map(Pairs::new).flatten().take(i);
            if earlier.any(|(other, _)| other == key) {
                return Err(ReadError::Duplicate { name: key.into() });
            }
        }
        // Walk the data from tensor to tensor: each of them once, from the first byte to the last.
        let mut at = 0;
        for _ in 0..filled {
            let next = self.tensors().find(|tensor| tensor.begin == at && tensor.end > at);
            let end = next.ok_or(ReadError::NotContiguous { at })?.end;
            // An empty tensor may stand between two others, not inside one.
            if let Some(inside) = self.tensors().find(|t| t.begin == t.end && at < t.begin && t.begin < end) {
                return Err(ReadError::NotContiguous { at: inside.begin });
            }
            at = end;
        }
        if at != self.data.len() as u64 { Err(ReadError::NotContiguous { at }) } else { Ok(()) }
    }
}

const METADATA: &str = "__metadata__";

/// Bytes of one element, by the format's dtype names. The sub-byte ones are left out: no whole number of bytes.
fn dtype_bytes(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 1,
        "I16" | "U16" | "F16" | "BF16" => 2,
        "I32" | "U32" | "F32" => 4,
        "I64" | "U64" | "F64" | "C64" => 8,
        _ => return None,
    })
}

enum Entry<'a> {
    Tensor(Tensor<'a>),
    /// The text of the object, from after its opening brace.
    Metadata(Cursor<'a>),
}

/// Walks the header's top object.
struct Entries<'a> {
    cursor: Cursor<'a>,
    data: &'a [u8],
    state: Walk,
}

#[derive(Clone, Copy, PartialEq)]
enum Walk {
    Start,
    Inside,
    Done,
}

impl<'a> Entries<'a> {
    fn new(header: &'a str, data: &'a [u8]) -> Self {
        Self { cursor: Cursor { text: header, at: 0 }, data, state: Walk::Start }
    }

    fn advance(&mut self) -> Result<Option<Entry<'a>>, ReadError> {
        let cursor = &mut self.cursor;
        if self.state == Walk::Start {
            cursor.expect(b'{', "`{`")?;
        }
        if !cursor.another(b'}', self.state == Walk::Start, "`,` or `}`")? {
            // The format allows spaces after the object, as padding.
            return if cursor.peek().is_none() { Ok(None) } else { Err(cursor.syntax("the end of the header")) };
        }
        self.state = Walk::Inside;
        let name = cursor.string(false)?;
        cursor.expect(b':', "`:`")?;
        cursor.expect(b'{', "`{`")?;
        if name == METADATA {
            let object = *cursor;
            let mut pairs = Pairs::new(object);
            for pair in pairs.by_ref() {
                pair?;
            }
            *cursor = pairs.cursor;
            return Ok(Some(Entry::Metadata(object)));
        }
        let tensor = tensor(cursor, name, self.data)?;
        Ok(Some(Entry::Tensor(tensor)))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == Walk::Done {
            return None;
        }
        let entry = self.advance();
        if !matches!(entry, Ok(Some(_))) {
            self.state = Walk::Done;
        }
        entry.transpose()
    }
}

/// Walks a string-to-string object from after its opening brace.
struct Pairs<'a> {
    cursor: Cursor<'a>,
    state: Walk,
}

impl<'a> Pairs<'a> {
    fn new(cursor: Cursor<'a>) -> Self {
        Self { cursor, state: Walk::Start }
    }

    fn advance(&mut self) -> Result<Option<(&'a str, &'a str)>, ReadError> {
        if !self.cursor.another(b'}', self.state == Walk::Start, "`,` or `}`")? {
            return Ok(None);
        }
        self.state = Walk::Inside;
        let key = self.cursor.string(false)?;
        self.cursor.expect(b':', "`:`")?;
        let value = self.cursor.string(true)?;
        Ok(Some((key, value)))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a str, &'a str), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == Walk::Done {
            return None;
        }
        let pair = self.advance();
        if !matches!(pair, Ok(Some(_))) {
            self.state = Walk::Done;
        }
        pair.transpose()
    }
}

/// The object of one tensor, from after its opening brace.
fn tensor<'a>(cursor: &mut Cursor<'a>, name: &'a str, data: &'a [u8]) -> Result<Tensor<'a>, ReadError> {
    let mut dtype = None;
    let mut shape: Option<([usize; MAX_AXES], usize)> = None;
    let mut offsets: Option<(u64, u64)> = None;
    let mut first = true;
    while cursor.another(b'}', first, "`,` or `}`")? {
        first = false;
        let start = *cursor;
        let key = cursor.string(false)?;
        cursor.expect(b':', "`:`")?;
        let twice = match key {
            "dtype" => dtype.replace(cursor.string(false)?).is_some(),
            "shape" => {
                let mut axes = [0; MAX_AXES];
                let mut rank = 0;
                cursor.expect(b'[', "`[`")?;
                while cursor.another(b']', rank == 0, "`,` or `]`")? {
                    let slot = axes.get_mut(rank).ok_or(ReadError::TooManyAxes { name: name.into(), limit: MAX_AXES })?;
                    let at = *cursor;
                    *slot = usize::try_from(cursor.number()?).map_err(|_| at.syntax("a size that fits this machine"))?;
                    rank += 1;
                }
                shape.replace((axes, rank)).is_some()
            }
            "data_offsets" => {
                cursor.expect(b'[', "`[`")?;
                let begin = cursor.number()?;
                cursor.expect(b',', "`,`")?;
                let end = cursor.number()?;
                cursor.expect(b']', "`]`")?;
                offsets.replace((begin, end)).is_some()
            }
            _ => return Err(start.syntax("`dtype`, `shape` or `data_offsets`")),
        };
        if twice {
            return Err(ReadError::Duplicate { name: key.into() });
        }
    }
    let dtype = dtype.ok_or(cursor.syntax("a `dtype` before the end of the tensor"))?;
    let (axes, rank) = shape.ok_or(cursor.syntax("a `shape` before the end of the tensor"))?;
    let (begin, end) = offsets.ok_or(cursor.syntax("`data_offsets` before the end of the tensor"))?;
    let element = dtype_bytes(dtype).ok_or(ReadError::UnknownDtype { name: name.into(), found: dtype.into() })?;
    let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    let bytes = range.and_then(|(begin, end)| data.get(begin..end));
    let bytes = bytes.ok_or(ReadError::OutOfRange { name: name.into(), begin, end, data: data.len() })?;
    let expected = axes[..rank].iter().try_fold(element, |product, &axis| product.checked_mul(axis as u64));
    if expected != Some(end - begin) {
        return Err(ReadError::WrongLength { name: name.into(), expected, found: end - begin });
    }
    Ok(Tensor { name, dtype, axes, rank, begin, end, data: bytes })
}

/// A place in the header's text.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn syntax(&self, expected: &'static str) -> ReadError {
        ReadError::Syntax { at: self.at, expected }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), ReadError> {
        if self.peek() != Some(byte) {
            return Err(self.syntax(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether another item follows in a list that `close` ends; steps over the comma or the closing byte.
    fn another(&mut self, close: u8, first: bool, expected: &'static str) -> Result<bool, ReadError> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(self.syntax(expected)),
        }
    }

    /// A string, between its quotes. With `escapes`, JSON's escapes may stand in it and stay as they are.
    fn string(&mut self, escapes: bool) -> Result<&'a str, ReadError> {
        self.expect(b'"', "a string")?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        loop {
            match bytes.get(self.at) {
                None => return Err(self.syntax("the end of the string")),
                Some(b'"') => break,
                Some(b'\\') if !escapes => return Err(self.syntax("a name without escapes")),
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return Err(self.syntax("no control character in a string")),
                Some(_) => self.at += 1,
            }
        }
        // Both ends stand beside a quote, so they are on character borders.
        let string = &self.text[start..self.at];
        self.at += 1;
        Ok(string)
    }

    fn escape(&mut self) -> Result<(), ReadError> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            _ => match (self.utf16(self.at), self.utf16(self.at + 6)) {
                (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => self.at += 12,
                (Some(0xd800..0xe000) | None, _) => return Err(self.syntax("a JSON escape")),
                (Some(_), _) => self.at += 6,
            },
        }
        Ok(())
    }

    /// The UTF-16 unit that `\uXXXX` at `at` stands for. A surrogate is a character only in a pair.
    fn utf16(&self, at: usize) -> Option<u32> {
        let digits = self.text.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    }

    /// An unsigned integer without sign, point, exponent or leading zero.
    fn number(&mut self) -> Result<u64, ReadError> {
        self.peek();
        let start = *self;
        let mut value = 0_u64;
        while let Some(digit) = self.text.as_bytes().get(self.at).filter(|byte| byte.is_ascii_digit()) {
            let next = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0')));
            value = next.ok_or(start.syntax("an integer below 2^64"))?;
            self.at += 1;
        }
        let digits = self.at - start.at;
        if digits == 0 || digits > 1 && self.text.as_bytes()[start.at] == b'0' {
            return Err(start.syntax("an unsigned integer"));
        }
        Ok(value)
    }
}
