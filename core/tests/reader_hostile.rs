//! Does the reader refuse every kind of bad file, each with its own error, in one line that names the thing? One table of
//! byte strings, each a valid file but for one fault. In a header, `▲` marks the byte that a syntax error must point at; it
//! is taken out before the header is read.

use dreamstep_core::error::{ReadError, Text};
use dreamstep_core::reader::{File, MAX_AXES, MAX_HEADER, MAX_METADATA, MAX_TENSORS};

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    expected: ReadError,
}

/// A file of this header and as many bytes of data.
fn file(header: impl AsRef<[u8]>, data: usize) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes(), header, &vec![0; data]].concat()
}

/// Only a claim of how long the header is, then `rest`.
fn claim(length: u64, rest: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), rest].concat()
}

/// A tensor `t` of one F32 but for what is written instead.
fn tensor(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"t":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}"#)
}

/// A file of one-byte tensors `a`, `b`, … at these offsets.
fn bytes_at(offsets: &[(u64, u64)], data: usize) -> Vec<u8> {
    let one = |(i, (begin, end)): (usize, &(u64, u64))| {
        let (name, n) = (char::from(b'a' + i as u8), end - begin);
        format!(r#""{name}":{{"dtype":"U8","shape":[{n}],"data_offsets":[{begin},{end}]}}"#)
    };
    file(format!("{{{}}}", offsets.iter().enumerate().map(one).collect::<Vec<_>>().join(",")), data)
}

/// `count` empty tensors.
fn many_tensors(count: usize) -> Vec<u8> {
    let one = |i| format!(r#""t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    file(format!("{{{}}}", (0..count).map(one).collect::<Vec<_>>().join(",")), 0)
}

/// `count` metadata keys.
fn many_keys(count: usize) -> Vec<u8> {
    let keys: Vec<_> = (0..count).map(|i| format!(r#""{i}":"""#)).collect();
    file(format!(r#"{{"__metadata__":{{{}}}}}"#, keys.join(",")), 0)
}

const MARK: &str = "▲";
const GOOD: &str = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
const NAMED: &str = r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#; // left open

fn other(name: &'static str, bytes: Vec<u8>, expected: ReadError) -> Case {
    Case { name, bytes, expected }
}

/// A header that is not the JSON it should be, from the mark on.
fn syntax(name: &'static str, header: impl Into<String>, expected: &'static str) -> Case {
    let header = header.into();
    let at = header.find(MARK).unwrap_or_else(|| panic!("{name}: no mark"));
    Case { name, bytes: file(header.replacen(MARK, "", 1), 4), expected: ReadError::Syntax { at, expected } }
}

/// A tensor's number, in its shape and in its offsets, that is no unsigned integer.
fn number(name: &'static str, number: &str, expected: &'static str) -> [Case; 2] {
    [
        syntax(name, tensor(r#""F32""#, &format!("[{number}]"), "[0,4]"), expected),
        syntax(name, tensor(r#""F32""#, "[1]", &format!("[0,{number}]")), expected),
    ]
}

fn lengths_and_text() -> Vec<Case> {
    let truncated = |expected, found| ReadError::Truncated { expected, found };
    let too_large = |found| ReadError::HeaderTooLarge { limit: MAX_HEADER, found };
    let cap = MAX_HEADER as u64;
    vec![
        other("empty file", vec![], truncated(8, 0)),
        other("seven bytes", vec![0; 7], truncated(8, 7)),
        other("a length and nothing else", claim(2, b""), truncated(10, 8)),
        other("header one byte longer than the file", claim(3, b"{}"), truncated(11, 10)),
        other("longest header allowed, not there", claim(cap, b"{}"), truncated(cap + 8, 10)),
        other("header one byte over the limit", claim(cap + 1, b"{}"), too_large(cap + 1)),
        other("header of 2^32 bytes", claim(1 << 32, b"{}"), too_large(1 << 32)),
        other("header of 2^64 - 1 bytes", claim(u64::MAX, b"{}"), too_large(u64::MAX)),
        other("header of 2^64 - 8 bytes", claim(u64::MAX - 7, b"{}"), too_large(u64::MAX - 7)),
        other("a byte that is not UTF-8", file(b"{\"\xff\":1}", 0), ReadError::NotUtf8 { at: 2 }),
        other("a character cut in two by the header's end", file(b"{}\xe2\x96", 0), ReadError::NotUtf8 { at: 2 }),
        other("an overlong encoding", file(b"{\"\xc0\xaf\":1}", 0), ReadError::NotUtf8 { at: 2 }),
        other("a surrogate in UTF-8", file(b"{\"\xed\xa0\x80\":1}", 0), ReadError::NotUtf8 { at: 2 }),
        syntax("no header", "▲", "`{`"),
        syntax("a header of spaces", "   ▲", "`{`"),
        syntax("a word", "▲hello", "`{`"),
        syntax("an array of tensors", format!("▲[{GOOD}]"), "`{`"),
        syntax("null", "▲null", "`{`"),
        syntax("a byte order mark", "▲\u{feff}{}", "`{`"),
        syntax("an object that is left open", "{▲", "`,` or `}`"),
        syntax("the rest of the file after a comma", format!("{NAMED},▲"), "a string"),
        syntax("a word after the object", format!("{NAMED}}} ▲x"), "the end of the header"),
        syntax("a second object", format!("{NAMED}}}▲{{}}"), "the end of the header"),
        syntax("padding with zero bytes", format!("{NAMED}}} ▲\0\0"), "the end of the header"),
        syntax("a form feed between tokens", format!("{NAMED}▲\u{c}}}"), "`,` or `}`"),
        syntax("a comma before the first tensor", format!(r#"{{▲,"t":{GOOD}}}"#), "a string"),
        syntax("a comma after the last tensor", format!("{NAMED},▲}}"), "a string"),
        syntax("no comma between tensors", format!(r#"{NAMED}▲"u":{GOOD}}}"#), "`,` or `}`"),
        syntax("no colon", format!(r#"{{"t"▲{GOOD}}}"#), "`:`"),
        syntax("a name without quotes", format!("{{▲t:{GOOD}}}"), "a string"),
        syntax("a name in single quotes", format!("{{▲'t':{GOOD}}}"), "a string"),
        syntax("a comment", format!("{{▲/**/\"t\":{GOOD}}}"), "a string"),
        syntax("a name that does not end", r#"{"t▲"#, "the end of the string"),
        syntax("an escape in a name", format!(r#"{{"▲\u0074":{GOOD}}}"#), "a name without escapes"),
        syntax("an escaped quote in a name after other letters", format!(r#"{{"äß▲\"":{GOOD}}}"#), "a name without escapes"),
        syntax("a line break in a name", format!("{{\"t▲\n\":{GOOD}}}"), "no control character in a string"),
        syntax("a zero byte in a name", format!("{{\"▲\0t\":{GOOD}}}"), "no control character in a string"),
    ]
}

fn tensors() -> Vec<Case> {
    let shape_end = "`,` or `]`";
    let mut cases = vec![
        syntax("a tensor that is null", r#"{"t":▲null}"#, "`{`"),
        syntax("a tensor that is a number", r#"{"t":▲4}"#, "`{`"),
        syntax("a tensor that is an array", r#"{"t":▲["F32",[1],[0,4]]}"#, "`{`"),
        syntax("a tensor without keys", r#"{"t":{}▲}"#, "a `dtype` before the end of the tensor"),
        syntax("no dtype", r#"{"t":{"shape":[1],"data_offsets":[0,4]}▲}"#, "a `dtype` before the end of the tensor"),
        syntax("no shape", r#"{"t":{"dtype":"F32","data_offsets":[0,4]}▲}"#, "a `shape` before the end of the tensor"),
        syntax("no offsets", r#"{"t":{"dtype":"F32","shape":[1]}▲}"#, "`data_offsets` before the end of the tensor"),
        syntax(
            "a key that tensors do not have",
            r#"{"t":{"dtype":"F32","shape":[1],▲"strides":[1],"data_offsets":[0,4]}}"#,
            "`dtype`, `shape` or `data_offsets`",
        ),
        syntax(
            "an escape in a tensor's key",
            r#"{"t":{"d▲\u0074ype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            "a name without escapes",
        ),
        syntax("a dtype that is a number", tensor("▲32", "[1]", "[0,4]"), "a string"),
        syntax("a dtype that is an object", tensor(r#"▲{"F32":null}"#, "[1]", "[0,4]"), "a string"),
        syntax("an escape in a dtype", tensor(r#""▲\u004632""#, "[1]", "[0,4]"), "a name without escapes"),
        syntax("a shape that is a number", tensor(r#""F32""#, "▲1", "[0,4]"), "`[`"),
        syntax("a shape that is null", tensor(r#""F32""#, "▲null", "[0,4]"), "`[`"),
        syntax("a shape in a shape", tensor(r#""F32""#, "[▲[1]]", "[0,4]"), "an unsigned integer"),
        syntax("a comma after the last axis", tensor(r#""F32""#, "[1,▲]", "[0,4]"), "an unsigned integer"),
        syntax("a comma before the first axis", tensor(r#""F32""#, "[▲,1]", "[0,4]"), "an unsigned integer"),
        syntax("a shape that the wrong bracket ends", tensor(r#""F32""#, "[1▲}", "[0,4]"), shape_end),
        syntax("two axes without a comma", tensor(r#""F32""#, "[1 ▲1]", "[0,4]"), shape_end),
        syntax("no offset in the offsets", tensor(r#""F32""#, "[1]", "[▲]"), "an unsigned integer"),
        syntax("one offset", tensor(r#""F32""#, "[1]", "[4▲]"), "`,`"),
        syntax("three offsets", tensor(r#""F32""#, "[1]", "[0,4▲,8]"), "`]`"),
        syntax("offsets that are an object", tensor(r#""F32""#, "[1]", r#"▲{"begin":0,"end":4}"#), "`[`"),
        syntax("a float among the axes", tensor(r#""F32""#, "[1▲.0]", "[0,4]"), shape_end),
        syntax("a float among the offsets", tensor(r#""F32""#, "[1]", "[0▲.0,4]"), "`,`"),
        syntax("an exponent among the axes", tensor(r#""F32""#, "[1▲e0]", "[0,4]"), shape_end),
        syntax("an exponent among the offsets", tensor(r#""F32""#, "[1]", "[0,4▲E0]"), "`]`"),
        syntax("a hexadecimal axis", tensor(r#""F32""#, "[0▲x1]", "[0,4]"), shape_end),
        other("dtype twice", twice(r#""dtype":"F32""#), ReadError::Duplicate { name: "dtype".into() }),
        other("shape twice", twice(r#""shape":[1]"#), ReadError::Duplicate { name: "shape".into() }),
        other("offsets twice", twice(r#""data_offsets":[0,4]"#), ReadError::Duplicate { name: "data_offsets".into() }),
        other(
            "the same tensor twice",
            file(format!(r#"{NAMED},"t":{GOOD}}}"#), 4),
            ReadError::Duplicate { name: "t".into() },
        ),
        other(
            "the same empty name twice",
            file(format!(r#"{{"":{GOOD},"":{GOOD}}}"#), 4),
            ReadError::Duplicate { name: "".into() },
        ),
    ];
    cases.extend(number("a leading zero", "▲04", "an unsigned integer"));
    cases.extend(number("two zeros", "▲00", "an unsigned integer"));
    cases.extend(number("a negative number", "▲-4", "an unsigned integer"));
    cases.extend(number("minus zero", "▲-0", "an unsigned integer"));
    cases.extend(number("a plus sign", "▲+4", "an unsigned integer"));
    cases.extend(number("a fraction without its zero", "▲.5", "an unsigned integer"));
    cases.extend(number("a number in quotes", r#"▲"4""#, "an unsigned integer"));
    cases.extend(number("null for a number", "▲null", "an unsigned integer"));
    cases.extend(number("not a number", "▲NaN", "an unsigned integer"));
    cases.extend(number("2^64", "▲18446744073709551616", "an integer below 2^64"));
    cases.extend(number("a hundred digits", &format!("▲{}", "9".repeat(100)), "an integer below 2^64"));
    cases
}

/// A tensor with this entry at its beginning and its end.
fn twice(entry: &str) -> Vec<u8> {
    let rest = [r#""dtype":"F32""#, r#""shape":[1]"#, r#""data_offsets":[0,4]"#].into_iter().filter(|e| *e != entry);
    let rest: Vec<_> = rest.collect();
    file(format!(r#"{{"t":{{{entry},{},{entry}}}}}"#, rest.join(",")), 4)
}

fn metadata() -> Vec<Case> {
    let value = |value: &str| format!(r#"{{"__metadata__":{{"k":{value}}}}}"#);
    let (string, escape) = ("a string", "a JSON escape");
    let control = "no control character in a string";
    vec![
        syntax("metadata that are null", r#"{"__metadata__":▲null}"#, "`{`"),
        syntax("metadata that are an array", r#"{"__metadata__":▲["k","v"]}"#, "`{`"),
        syntax("metadata that are a string", r#"{"__metadata__":▲"kv"}"#, "`{`"),
        syntax("a metadata value that is a number", value("▲1"), string),
        syntax("a metadata value that is null", value("▲null"), string),
        syntax("a metadata value that is true", value("▲true"), string),
        syntax("a metadata value that is an object", value(r#"▲{"a":"b"}"#), string),
        syntax("a metadata value that is an array", value(r#"▲["a"]"#), string),
        syntax("a metadata key that is a number", r#"{"__metadata__":{▲1:"v"}}"#, string),
        syntax("a metadata key without a value", r#"{"__metadata__":{"k"▲}}"#, "`:`"),
        syntax("a comma after the last metadata value", r#"{"__metadata__":{"k":"v",▲}}"#, string),
        syntax("no comma between metadata", r#"{"__metadata__":{"k":"v"▲"l":"w"}}"#, "`,` or `}`"),
        syntax("metadata that are left open", r#"{"__metadata__":{"k":"v"▲"#, "`,` or `}`"),
        syntax("an escape in a metadata key", r#"{"__metadata__":{"▲\u006b":"v"}}"#, "a name without escapes"),
        syntax("an unknown escape", value(r#""a▲\x41""#), escape),
        syntax("an escaped line break", value("\"a▲\\\n\""), escape),
        syntax("too few digits in an escape", value(r#""▲\u12""#), escape),
        syntax("other digits in an escape", value(r#""▲\u12G4""#), escape),
        syntax("a sign among an escape's digits", value(r#""▲\u+123""#), escape),
        syntax("an upper-case escape", value(r#""▲\U00000041""#), escape),
        syntax("the first half of a surrogate pair", value(r#""▲\ud83d""#), escape),
        syntax("the second half of a surrogate pair", value(r#""▲\ude00""#), escape),
        syntax("two first halves", value(r#""▲\ud83d\ud83d""#), escape),
        syntax("a surrogate pair with letters between", value(r#""▲\ud83d \ude00""#), escape),
        syntax("the header's end in an escape", r#"{"__metadata__":{"k":"▲\"#, escape),
        syntax("the header's end in an escape's digits", r#"{"__metadata__":{"k":"▲\u12"#, escape),
        syntax("a line break in a metadata value", value("\"a▲\nb\""), control),
        syntax("a tab in a metadata value", value("\"a▲\tb\""), control),
        syntax("the last control character", value("\"▲\u{1f}\""), control),
        other(
            "the same metadata key twice",
            file(r#"{"__metadata__":{"k":"v","l":"w","k":"v"}}"#, 0),
            ReadError::Duplicate { name: "k".into() },
        ),
        other(
            "metadata twice",
            file(r#"{"__metadata__":{"k":"v"},"__metadata__":{}}"#, 0),
            ReadError::Duplicate { name: "__metadata__".into() },
        ),
        other("a metadata key too many", many_keys(MAX_METADATA + 1), ReadError::TooManyKeys { limit: MAX_METADATA }),
        // Looked up one by one, they would take minutes.
        other("a header full of metadata keys", many_keys(80_000), ReadError::TooManyKeys { limit: MAX_METADATA }),
    ]
}

fn sizes_and_places() -> Vec<Case> {
    let f32 = r#""F32""#;
    let length = |expected, found| ReadError::WrongLength { name: "t".into(), expected, found };
    let range = |begin, end, data| ReadError::OutOfRange { name: "t".into(), begin, end, data };
    let dtype = |found: &str| ReadError::UnknownDtype { name: "t".into(), found: found.into() };
    let apart = |at| ReadError::NotContiguous { at };
    vec![
        other("a dtype that does not exist", file(tensor(r#""F31""#, "[1]", "[0,4]"), 4), dtype("F31")),
        other("a dtype in lower case", file(tensor(r#""f32""#, "[1]", "[0,4]"), 4), dtype("f32")),
        other("an empty dtype", file(tensor(r#""""#, "[1]", "[0,4]"), 4), dtype("")),
        other("a dtype with a space", file(tensor(r#""F32 ""#, "[1]", "[0,4]"), 4), dtype("F32 ")),
        other("a dtype of half a byte", file(tensor(r#""F4""#, "[8]", "[0,4]"), 4), dtype("F4")),
        other("an axis too many", file(tensor(f32, "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4), too_many_axes()),
        other("a thousand axes", file(tensor(f32, &format!("[1{}]", ",1".repeat(999)), "[0,4]"), 4), too_many_axes()),
        other("a tensor too many", many_tensors(MAX_TENSORS + 1), ReadError::TooManyTensors { limit: MAX_TENSORS }),
        other("a tensor longer than its shape", file(tensor(f32, "[1]", "[0,8]"), 8), length(Some(4), 8)),
        other("a tensor shorter than its shape", file(tensor(f32, "[2]", "[0,4]"), 4), length(Some(8), 4)),
        other("elements of another size", file(tensor(r#""F64""#, "[1]", "[0,4]"), 4), length(Some(8), 4)),
        other("a scalar without bytes", file(tensor(f32, "[]", "[0,0]"), 0), length(Some(4), 0)),
        other("an empty tensor with bytes", file(tensor(f32, "[3,0]", "[0,4]"), 4), length(Some(0), 4)),
        other("an axis of 2^64 - 1", file(tensor(f32, "[18446744073709551615]", "[0,4]"), 4), length(None, 4)),
        other("2^62 elements of four bytes", file(tensor(f32, "[4611686018427387904]", "[0,0]"), 0), length(None, 0)),
        other("axes whose product overflows", file(tensor(f32, "[4294967296,4294967297]", "[0,4]"), 4), length(None, 4)),
        other("a product that wraps round to 4", file(tensor(f32, "[9223372036854775809,2]", "[0,8]"), 8), length(None, 8)),
        other("an end after the data", file(tensor(f32, "[2]", "[0,8]"), 7), range(0, 8, 7)),
        other("no data", file(tensor(f32, "[1]", "[0,4]"), 0), range(0, 4, 0)),
        other("a begin after the data", file(tensor(f32, "[1]", "[8,12]"), 4), range(8, 12, 4)),
        other("an empty tensor after the data", file(tensor(f32, "[0]", "[5,5]"), 4), range(5, 5, 4)),
        other("an end before the begin", file(tensor(f32, "[1]", "[4,0]"), 4), range(4, 0, 4)),
        other("an end of 2^64 - 1", file(tensor(f32, "[1]", "[0,18446744073709551615]"), 4), range(0, u64::MAX, 4)),
        other("both ends at 2^64 - 1", file(tensor(f32, "[0]", "[18446744073709551615,18446744073709551615]"), 4), {
            range(u64::MAX, u64::MAX, 4)
        }),
        other("data before the first tensor", bytes_at(&[(1, 4)], 4), apart(0)),
        other("a hole between two tensors", bytes_at(&[(0, 2), (3, 5)], 5), apart(2)),
        other("two tensors that overlap", bytes_at(&[(0, 3), (2, 5)], 5), apart(3)),
        other("a tensor inside another", bytes_at(&[(0, 4), (1, 3)], 4), apart(4)),
        other("two tensors on the same bytes", bytes_at(&[(0, 4), (0, 4)], 4), apart(4)),
        other("an alias beside a chain that fits", bytes_at(&[(0, 2), (2, 4), (0, 4)], 4), apart(4)),
        other("an empty tensor inside another", bytes_at(&[(0, 4), (2, 2)], 4), apart(2)),
        other("an empty tensor inside the second", bytes_at(&[(5, 5), (0, 4), (4, 6)], 6), apart(5)),
        other("a byte after the last tensor", bytes_at(&[(0, 2), (2, 4)], 5), apart(4)),
        other("data without a tensor", file("{}", 1), apart(0)),
        other("data with metadata only", file(r#"{"__metadata__":{}}"#, 3), apart(0)),
        other("data with empty tensors only", bytes_at(&[(0, 0), (1, 1)], 1), apart(0)),
    ]
}

fn too_many_axes() -> ReadError {
    ReadError::TooManyAxes { name: "t".into(), limit: MAX_AXES }
}

/// What the message of `error` must say.
fn must_name(error: &ReadError) -> Vec<String> {
    let quoted = |name: Text| format!("`{name}`");
    match *error {
        ReadError::Truncated { expected, found } => vec![expected.to_string(), found.to_string()],
        ReadError::HeaderTooLarge { limit, found } => vec![limit.to_string(), found.to_string()],
        ReadError::NotUtf8 { at } => vec![format!("byte {at}")],
        ReadError::Syntax { at, expected } => vec![format!("byte {at}"), expected.to_string()],
        ReadError::Duplicate { name } => vec![quoted(name)],
        ReadError::TooManyTensors { limit } | ReadError::TooManyKeys { limit } => vec![limit.to_string()],
        ReadError::TooManyAxes { name, limit } => vec![quoted(name), limit.to_string()],
        ReadError::UnknownDtype { name, found } => vec![quoted(name), quoted(found)],
        ReadError::WrongLength { name, expected, found } => {
            let expected = expected.map_or("more bytes than can be counted".to_string(), |bytes| bytes.to_string());
            vec![quoted(name), expected, found.to_string()]
        }
        ReadError::OutOfRange { name, begin, end, data } => {
            vec![quoted(name), format!("{begin}..{end}"), data.to_string()]
        }
        ReadError::NotContiguous { at } => vec![format!("byte {at}")],
        error => panic!("an error of another kind: {error:?}"),
    }
}

#[test]
fn every_fault_has_its_error_in_one_line_that_names_it() {
    let cases: Vec<Case> = [lengths_and_text(), tensors(), metadata(), sizes_and_places()].into_iter().flatten().collect();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        let found = File::parse(&case.bytes).map(|_| ());
        if found != Err(case.expected) {
            failures.push(format!("{}: expected {:?}, found {found:?}", case.name, case.expected));
        }
        let message = case.expected.to_string();
        let names = must_name(&case.expected);
        if message.lines().count() != 1 || !names.iter().all(|name| message.contains(name)) {
            failures.push(format!("{}: `{message}` does not say {names:?} in one line", case.name));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// The negative control: the table's helpers write valid files where nothing is wrong, and the limits themselves are
/// allowed.
#[test]
fn what_is_valid_is_accepted() {
    let mut padded = format!("{NAMED}}}");
    padded.extend(std::iter::repeat_n(' ', MAX_HEADER - padded.len()));
    let valid = [
        ("no tensors", file("{}", 0)),
        ("a tensor", file(format!("{NAMED}}}"), 4)),
        ("space wherever it may stand", {
            file(" {\n\"t\" :\t{ \"shape\" : [ 1 , 1 ] , \"data_offsets\" : [ 0 , 4 ] , \"dtype\" : \"F32\" } } \r\n", 4)
        }),
        ("a scalar", file(tensor(r#""F32""#, "[]", "[0,4]"), 4)),
        ("all axes", file(tensor(r#""F32""#, "[1,1,1,1,1,1,1,1]", "[0,4]"), 4)),
        ("all tensors", many_tensors(MAX_TENSORS)),
        ("all metadata keys", many_keys(MAX_METADATA)),
        ("the longest header", file(padded, 4)),
        ("every escape", file(r#"{"__metadata__":{"":"\"\\\/\b\f\n\r\t\u0000\ud83d\ude00\uFFFFé😀"}}"#, 0)),
        ("tensors in another order than their data", bytes_at(&[(2, 4), (0, 2), (4, 5)], 5)),
        ("empty tensors at the borders", bytes_at(&[(2, 2), (0, 2), (4, 4), (2, 4), (0, 0)], 4)),
    ];
    for (name, bytes) in valid {
        if let Err(error) = File::parse(&bytes) {
            panic!("{name}: {error}");
        }
    }
    let bytes = file(r#"{"__metadata__":{"k":"a\nb"},"t":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]}}"#, 2);
    let read = File::parse(&bytes).unwrap();
    let t = read.tensor("t").unwrap();
    assert_eq!((t.dtype, t.shape(), t.rank(), t.data), ("U8", [2, 1].as_slice(), 2, [0, 0].as_slice()));
    assert_eq!(read.metadata("k"), Some(r"a\nb"));
    assert!(read.tensor("u").is_none() && read.metadata("l").is_none());
}
