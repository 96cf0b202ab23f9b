//! Does our reader agree with the `safetensors` crate? The crate judges: it reads what we write, we read what it writes, and
//! of some 200,000 damaged files we may accept none that it rejects.
//! Where we are stricter, and why, stands in `differential/mod.rs`.

mod differential;

use differential::{Content, Stricter, Verdict, class, judge, ours, verdict};
use dreamstep_core::pack::{Entry, safetensors_bytes};
use dreamstep_core::reader::{File, MAX_AXES, MAX_HEADER, MAX_METADATA, MAX_TENSORS};
use dreamstep_core::rng::{Philox, Stream};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView, serialize};
use std::collections::{BTreeMap, HashMap};

const DTYPES: [Dtype; 19] = [
    Dtype::BOOL,
    Dtype::U8,
    Dtype::I8,
    Dtype::F8_E5M2,
    Dtype::F8_E4M3,
    Dtype::F8_E8M0,
    Dtype::F8_E4M3FNUZ,
    Dtype::F8_E5M2FNUZ,
    Dtype::I16,
    Dtype::U16,
    Dtype::F16,
    Dtype::BF16,
    Dtype::I32,
    Dtype::U32,
    Dtype::F32,
    Dtype::C64,
    Dtype::F64,
    Dtype::I64,
    Dtype::U64,
];

/// The draws of one file or one mutation.
struct Draws {
    rng: Philox,
    step: u64,
    index: u32,
}

impl Draws {
    fn new(seed: u64, step: u64) -> Self {
        Self { rng: Philox::new(seed), step, index: 0 }
    }

    /// Uniform in `0..n`; 0 where `n` is 0.
    fn below(&mut self, n: usize) -> usize {
        self.index += 1;
        self.rng.below(Stream::Evolution, self.step, self.index, n.max(1) as u64) as usize
    }
}

/// A random file, written by the crate.
fn by_the_crate(draws: &mut Draws) -> Vec<u8> {
    let tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = (0..draws.below(7))
        .map(|i| {
            let dtype = DTYPES[draws.below(DTYPES.len())];
            let shape: Vec<usize> = (0..draws.below(5)).map(|_| draws.below(5)).collect();
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (format!("{i}.weight·{}", draws.below(100)), dtype, shape, (0..bytes).map(|_| draws.below(256) as u8).collect())
        })
        .collect();
    let values = ["", "tanh", "a \"quote\"", "line\nbreak", "tab\t\\ back/slash", "é😀", "\u{1}"];
    let metadata: HashMap<_, _> =
        (0..draws.below(4)).map(|i| (format!("key.{i}"), values[draws.below(values.len())].to_string())).collect();
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), data).expect("the shape fits the data"))
    });
    serialize(views, Some(metadata).filter(|m| !m.is_empty())).expect("the crate writes what it made")
}

#[test]
fn what_the_crate_writes_reads_the_same() {
    let seed = 11;
    for step in 0..2000 {
        let bytes = by_the_crate(&mut Draws::new(seed, step));
        let found = ours(&bytes).unwrap_or_else(|error| panic!("seed {seed}, file {step}: {error}"));
        assert_eq!(Ok(found), judge(&bytes), "seed {seed}, file {step}");
    }
    // Every dtype, once for sure.
    for dtype in DTYPES {
        let data = vec![7; 3 * dtype.bitsize() / 8];
        let view = TensorView::new(dtype, vec![3, 1], &data).unwrap();
        let bytes = serialize([("t", view)], None).unwrap();
        assert_eq!(ours(&bytes).map_err(|error| error.to_string()), judge(&bytes), "{dtype}");
        assert_eq!(File::parse(&bytes).unwrap().tensor("t").unwrap().dtype, dtype.to_string());
    }
}

/// A random file, written by us: tensors of the packed file's dtypes (some empty, some bits of a NaN) and metadata.
fn by_us(draws: &mut Draws) -> (Vec<u8>, Content) {
    let dtypes = [("F32", 4), ("F16", 2), ("BF16", 2), ("I8", 1), ("I32", 4)];
    let tensors: Vec<(String, &str, Vec<usize>, Vec<u8>)> = (0..draws.below(6))
        .map(|i| {
            let (dtype, size) = dtypes[draws.below(dtypes.len())];
            let shape: Vec<usize> = (0..draws.below(5)).map(|_| draws.below(4)).collect();
            let data = (0..size * shape.iter().product::<usize>()).map(|_| draws.below(256) as u8).collect();
            (format!("{i}.panels"), dtype, shape, data)
        })
        .collect();
    let values = ["", "packed-2", "a \"quote\"", "line\nbreak", "\\", "é😀"];
    let metadata: BTreeMap<_, _> =
        (0..draws.below(4)).map(|i| (format!("key.{i}"), values[draws.below(values.len())].to_string())).collect();
    let entries: Vec<_> = tensors
        .iter()
        .map(|(name, dtype, shape, data)| Entry { name, dtype, shape: shape.clone(), data: data.clone() })
        .collect();
    let bytes = safetensors_bytes(&entries, &metadata);
    let content = tensors.into_iter().map(|(name, dtype, shape, data)| (name, (dtype.to_string(), shape, data)));
    (bytes, (content.collect(), metadata))
}

#[test]
fn what_we_write_the_crate_reads_the_same() {
    let seed = 12;
    for step in 0..2000 {
        let (bytes, content) = by_us(&mut Draws::new(seed, step));
        assert_eq!(judge(&bytes), Ok(content.clone()), "seed {seed}, file {step}: the crate");
        assert_eq!(ours(&bytes), Ok(content), "seed {seed}, file {step}: ours");
        let (header, _): (usize, Metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!((8 + header) % 64, 0, "seed {seed}, file {step}: data begin on a multiple of 64");
    }
}

fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

/// One file and more for each class: the crate takes it, we do not. Were the crate to change its mind, this tells.
#[test]
fn where_ours_is_stricter() {
    let list = |count, one: fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join(",");
    let tensor = |i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    let t = r#""t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let misfit = t.replace("[1]", "[0]");
    let one = |dtype: &str, shape: &str, end: usize| {
        file(&format!(r#"{{"t":{{"dtype":{dtype},"shape":{shape},"data_offsets":[0,{end}]}}}}"#), end)
    };
    let cases = [
        (Stricter::Duplicate, file(&format!("{{{t},{t}}}"), 4)),
        // Found by fuzzing: the first of the two does not fit its offsets, and the crate never looks.
        (Stricter::Duplicate, file(&format!(r#"{{{misfit},{t}}}"#), 4)),
        (Stricter::Duplicate, file(&format!(r#"{{{misfit},{}}}"#, t.replace("\"t\"", r#""\u0074""#)), 4)),
        (Stricter::Duplicate, file(&format!(r#"{{"__metadata__":{{"k":"v","k":"w"}},{t}}}"#), 4)),
        (Stricter::Escape, file(r#"{"\u0074":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        (Stricter::Escape, file(r#"{"t":{"d\u0074ype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        (Stricter::Escape, file(r#"{"t":{"dtype":"\u004632","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        (Stricter::Escape, file(r#"{"__metadata__":{"\u006b":"v"}}"#, 0)),
        (Stricter::UnknownKey, file(r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":[{}]}}"#, 4)),
        (Stricter::Form, file(r#"{"t":["F32",[1],[0,4]]}"#, 4)),
        (Stricter::Form, file(r#"{"__metadata__":null}"#, 0)),
        (Stricter::Form, one(r#"{"F32":null}"#, "[1]", 4)),
        (Stricter::SubByte, one(r#""F4""#, "[2]", 1)),
        (Stricter::SubByte, one(r#""F6_E2M3""#, "[4]", 3)),
        (Stricter::SubByte, one(r#""F6_E3M2""#, "[4]", 3)),
        (Stricter::Overflow, one(r#""F64""#, "[4611686018427387904,0]", 0)),
        (Stricter::Limit, one(r#""F32""#, &format!("[{}]", list(MAX_AXES + 1, |_| "1".into())), 4)),
        (Stricter::Limit, file(&format!("{{{}}}", list(MAX_TENSORS + 1, tensor)), 0)),
        (
            Stricter::Limit,
            file(&format!(r#"{{"__metadata__":{{{}}}}}"#, list(MAX_METADATA + 1, |i| format!(r#""{i}":"""#))), 0),
        ),
        (Stricter::Limit, file(&format!("{{}}{}", " ".repeat(MAX_HEADER)), 0)),
    ];
    for (i, (expected, bytes)) in cases.iter().enumerate() {
        assert!(judge(bytes).is_ok(), "case {i} ({expected:?}): the crate refuses it too: {:?}", judge(bytes));
        let error = ours(bytes).expect_err("ours refuses");
        assert_eq!(class(bytes, &error), Some(*expected), "case {i}: {error}");
    }
}

/// Pieces that a header is made of, and some that it should not be made of.
#[rustfmt::skip] // a table
const PIECES: [&str; 44] = [
    "{", "}", "[", "]", ",", ":", "\"", "\\", " ", "\n", "\0", "null", "true", "-", ".", "e1", "0", "1", "4", "8",
    "-0", "01", "1.0", "18446744073709551615", "18446744073709551616", "4611686018427387904,", "\"F32\"", "\"F4\"",
    "\"F6_E2M3\"", "\"BF16\"",
    "\"dtype\"", "\"d\\u0074ype\"", "\"more\":[{}],", "\"shape\":[1],", "\"data_offsets\":[0,0],", "\"__metadata__\":{},",
    "\"__metadata__\":null,", "\"k\":\"v\",", "\"\\u0041\"", "\"\\ud800\"", "\"\\udc00x\"", "\"\\ud83d\\ude00\"",
    "{\"F32\":null}", "\"new\":[\"F32\",[0],[0,0]],",
];

/// Where the header's tokens (strings, numbers, punctuation) lie in the file.
fn tokens(bytes: &[u8], header: core::ops::Range<usize>) -> Vec<core::ops::Range<usize>> {
    let mut tokens = Vec::new();
    let mut at = header.start;
    while at < header.end {
        let rest = &bytes[at..header.end];
        let length = match rest[0] {
            b'"' => rest[1..].iter().position(|&b| b == b'"').map_or(rest.len(), |end| end + 2),
            b'0'..=b'9' => rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len()),
            _ => 1,
        };
        tokens.push(at..at + length);
        at += length;
    }
    tokens
}

/// Damages a file once, or now and then up to three times. The header's length nearly always stays true, so that the damage
/// is seen.
fn mutate(base: &[u8], other: &[u8], draws: &mut Draws) -> Vec<u8> {
    let header = |bytes: &[u8]| {
        let length = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length) as usize);
        8.min(bytes.len())..length.saturating_add(8).min(bytes.len())
    };
    let mut bytes = base.to_vec();
    for _ in 0..[1, 1, 1, 1, 1, 1, 2, 3][draws.below(8)] {
        let inside = header(&bytes);
        let mut end = inside.end;
        let mut replace = |bytes: &mut Vec<u8>, range: core::ops::Range<usize>, piece: &[u8]| {
            if range.end <= end {
                end = end + piece.len() - range.len();
            }
            bytes.splice(range, piece.iter().copied());
        };
        let tokens = tokens(&bytes, inside.clone());
        let token = |draws: &mut Draws| tokens.get(draws.below(tokens.len())).cloned().unwrap_or(0..0);
        let byte = draws.below(bytes.len()).min(bytes.len().saturating_sub(1));
        match draws.below(11) {
            0 if !bytes.is_empty() => bytes[byte] ^= 1 << draws.below(8),
            1 if !inside.is_empty() => bytes[inside.start + draws.below(inside.len())] = draws.below(256) as u8,
            2 => bytes.truncate(byte),
            3 => {
                // The next digit from here on becomes another.
                let from = inside.start + draws.below(inside.len());
                if let Some(digit) = bytes[from..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + draws.below(10) as u8;
                }
            }
            4 => {
                // A piece of another file, from here or in place of as much.
                let (from, length) = (draws.below(other.len()), draws.below(80));
                let piece = &other[from..(from + length).min(other.len())];
                let end = if draws.below(2) == 0 { byte } else { (byte + length).min(bytes.len()) };
                replace(&mut bytes, byte..end, piece);
            }
            5 => replace(&mut bytes, token(draws), b""),
            10 => {
                // A number and the one after it become the same: an empty tensor somewhere else.
                let mut numbers: Vec<_> = tokens.iter().filter(|t| bytes[t.start].is_ascii_digit()).cloned().collect();
                let number = draws.below(6).to_string();
                let first = draws.below(numbers.len()).min(numbers.len());
                for token in numbers.drain(first..).take(2).collect::<Vec<_>>().into_iter().rev() {
                    replace(&mut bytes, token, number.as_bytes());
                }
            }
            6 => {
                let (from, to) = (token(draws), token(draws));
                let piece = bytes[from].to_vec();
                replace(&mut bytes, to, &piece);
            }
            7 | 8 => {
                let (token, piece) = (token(draws), PIECES[draws.below(PIECES.len())]);
                replace(&mut bytes, token.start..token.start, piece.as_bytes());
            }
            _ => {
                let (token, piece) = (token(draws), PIECES[draws.below(PIECES.len())]);
                replace(&mut bytes, token, piece.as_bytes());
            }
        }
        if draws.below(16) > 0 && bytes.len() >= 8 {
            let length = end.min(bytes.len()).saturating_sub(8) as u64;
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }
    }
    bytes
}

#[test]
fn of_damaged_files_ours_accepts_none_that_the_crate_rejects() {
    const SEED: u64 = 13;
    const MUTATIONS: u64 = 200_000;
    let small = |step| by_the_crate(&mut Draws::new(11, step));
    let bases: Vec<Vec<u8>> = (0..).map(small).filter(|b| (150..600).contains(&b.len())).take(12).chain([
        by_us(&mut Draws::new(12, 3)).0,
        file(r#"{"__metadata__":{"k":"v\n"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 2),
        file(r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[0],"data_offsets":[2,2]}}"#, 2),
    ]).collect();
    let (mut accepted, mut rejected, mut stricter) = (0_u64, 0_u64, BTreeMap::<Stricter, u64>::new());
    for step in 0..MUTATIONS {
        let draws = &mut Draws::new(SEED, step);
        let (base, other) = (draws.below(bases.len()), draws.below(bases.len()));
        let bytes = mutate(&bases[base], &bases[other], draws);
        let shown = || format!("seed {SEED}, mutation {step}: {:?}", String::from_utf8_lossy(&bytes));
        let verdict =
            std::panic::catch_unwind(|| verdict(&bytes)).unwrap_or_else(|_| panic!("a reader panicked; {}", shown()));
        match verdict {
            Ok(Verdict::BothAccept) => accepted += 1,
            Ok(Verdict::BothRefuse) => rejected += 1,
            Ok(Verdict::OursIsStricter(class)) => *stricter.entry(class).or_default() += 1,
            Err(disagreement) => panic!("{disagreement}; {}", shown()),
        }
    }
    println!("{MUTATIONS} mutations: both accept {accepted}, both reject {rejected}, ours is stricter in {stricter:?}");
    // The run says something only if it went everywhere.
    assert!(accepted > MUTATIONS / 20 && rejected > MUTATIONS / 4, "{accepted} accepted, {rejected} rejected");
    for class in [Stricter::Duplicate, Stricter::Escape, Stricter::UnknownKey, Stricter::Form, Stricter::SubByte] {
        assert!(stricter.contains_key(&class), "no mutation is of the class {class:?}: {stricter:?}");
    }
}
