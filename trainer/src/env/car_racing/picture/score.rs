//! The score in the picture's black bar. It is written in pygame's own font, which is no part of this project: set-up has pygame paint
//! every score once (`scripts/car_racing_score.py`) and keeps what is left of it in the picture, 5 rows of 11 grey pixels.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Where the score lies in the picture: its first row, and its rows and columns.
const TOP: usize = 87;
const ROWS: usize = 5;
const COLUMNS: usize = 11;
/// Texts from "-000" to "-999", then from "0000" to "1999".
const NEGATIVE: usize = 1000;
const POSITIVE: usize = 2000;

/// Every score as it stands in the picture.
#[derive(Clone, Debug)]
pub(in super::super) struct ScoreTable(Vec<[[u8; COLUMNS]; ROWS]>);

impl ScoreTable {
    /// Reads the table that set-up wrote: `DREAMSTEP_CAR_RACING_SCORE` names it now, else it is what that was when this was compiled.
    ///
    /// # Errors
    /// Without the file, or where it is not such a table.
    pub(in super::super) fn find() -> Result<Self> {
        let path = std::env::var_os("DREAMSTEP_CAR_RACING_SCORE")
            .map(PathBuf::from)
            .or_else(|| option_env!("DREAMSTEP_CAR_RACING_SCORE").map(PathBuf::from))
            .context(
                "DREAMSTEP_CAR_RACING_SCORE is not set: expected the file of CarRacing-v3's scores; run `make setup`",
            )?;
        Self::read(&path)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Without the file, or where it is not such a table.
    pub(in super::super) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "{}: expected the scores of CarRacing-v3's picture; run `make setup` or set DREAMSTEP_CAR_RACING_SCORE",
                path.display()
            )
        })?;
        let expected = (NEGATIVE + POSITIVE) * ROWS * COLUMNS;
        ensure!(
            bytes.len() == expected,
            "{}: expected {expected} bytes of scores, found {}; run `make setup`",
            path.display(),
            bytes.len()
        );
        let rows = bytes.as_chunks::<COLUMNS>().0;
        Ok(Self(rows.as_chunks::<ROWS>().0.to_vec()))
    }

    /// Writes a score into a picture [96, 96, 3]: `f"{reward:04.0f}"`, with its "-000". Beyond −999 and 1999 it is left out; an episode
    /// of 1000 steps pays −100 to 1000.
    pub(super) fn write(&self, reward: f64, picture: &mut [u8]) {
        let whole = reward.round_ties_even();
        let size = whole.abs() as usize;
        let (first, scores) = if whole.is_sign_negative() { (0, NEGATIVE) } else { (NEGATIVE, POSITIVE) };
        if size >= scores {
            return;
        }
        let Some(block) = self.0.get(first + size) else { return };
        for (row, values) in picture.chunks_exact_mut(96 * 3).skip(TOP).zip(block) {
            for (pixel, &value) in row.as_chunks_mut::<3>().0.iter_mut().zip(values) {
                *pixel = [value; 3];
            }
        }
    }
}
