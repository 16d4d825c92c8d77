//! The pages of a long run: a directory, and for each page the compressed differences of its timestamps and temperatures.

use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use super::Part;
use super::scaled::{AscendingPoints, ScaledPoint, Scales};
use crate::readings::embedded::format::codec::{CodecError, Cursor, put_signed, put_unsigned};
use crate::readings::{Point, Timestamp, Window};

/// The number of points in a page; the last page may have fewer. Pages of half the size need an eighth more space. Pages of twice
/// the size take twice as long to decode. Part of the format.
const PAGE_POINTS: usize = 512;

/// The compression level. Higher levels take longer and save nothing, because the numbers are scaled and differenced.
pub(super) const PCO_LEVEL: usize = 4;

/// Writes points as pages, behind a directory of them.
pub(super) fn write(out: &mut Vec<u8>, points: &[Point], scales: Scales) -> Result<(), CodecError> {
    // The number of differences in each page. A page with a single point has none, and pco has no empty pages.
    let mut differences = Vec::with_capacity(points.len() / PAGE_POINTS + 1);
    let mut times = Vec::with_capacity(points.len());
    let mut temperatures = Vec::with_capacity(points.len());
    for page in points.chunks(PAGE_POINTS) {
        let mut before = scales.down(&page[0]);
        for point in &page[1..] {
            let numbers = scales.down(point);
            times.push(numbers.time - before.time);
            temperatures.push(numbers.temperature - before.temperature);
            before = numbers;
        }
        if page.len() > 1 {
            differences.push(page.len() - 1);
        }
    }
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(DeltaSpec::NoOp)
        .with_paging_spec(PagingSpec::Exact(differences));
    // These errors cannot occur: pco accepts this configuration and any numbers, and writing to memory cannot fail.
    let impossible = |_| CodecError::OutOfRange;
    let file = FileCompressor::default();
    let mut times = file.chunk_compressor(&times, &config).map_err(impossible)?;
    let mut temperatures = file
        .chunk_compressor(&temperatures, &config)
        .map_err(impossible)?;
    let mut pages = Vec::with_capacity(points.len());
    let mut before = ScaledPoint::default();
    for (at, page) in points.chunks(PAGE_POINTS).enumerate() {
        let start = pages.len();
        if page.len() > 1 {
            times.write_page(at, &mut pages).map_err(impossible)?;
            temperatures
                .write_page(at, &mut pages)
                .map_err(impossible)?;
        }
        let first = scales.down(&page[0]);
        put_signed(out, first.time - before.time);
        put_signed(out, first.temperature - before.temperature);
        put_unsigned(out, (pages.len() - start) as u64);
        before = first;
    }
    file.write_header(&mut *out).map_err(impossible)?;
    times.write_meta(&mut *out).map_err(impossible)?;
    temperatures.write_meta(&mut *out).map_err(impossible)?;
    out.extend_from_slice(&pages);
    Ok(())
}

/// A page in the directory of a run.
#[derive(Clone, Copy, Debug)]
struct Page {
    first: ScaledPoint,
    starts: Timestamp,
    /// The number of points.
    points: usize,
    /// The range of the page's bytes, relative to the start of the first page.
    begin: usize,
    end: usize,
}

/// A run with pages that are not decoded yet.
pub(super) struct Pages<'a> {
    count: u64,
    scales: Scales,
    pages: Vec<Page>,
    times: ChunkDecompressor<i64>,
    temperatures: ChunkDecompressor<i64>,
    bytes: &'a [u8],
}

impl<'a> Pages<'a> {
    pub(super) fn read(
        mut cursor: Cursor<'a>,
        count: u64,
        scales: Scales,
    ) -> Result<Self, CodecError> {
        let mut pages: Vec<Page> = Vec::new();
        let mut left = usize::try_from(count).map_err(|_| CodecError::OutOfRange)?;
        let (mut first, mut begin) = (ScaledPoint::default(), 0usize);
        // Each entry takes a few bytes, so a wrong count cannot allocate memory.
        while left > 0 {
            first = first.plus(cursor.signed()?, cursor.signed()?)?;
            let length = usize::try_from(cursor.unsigned()?).map_err(|_| CodecError::OutOfRange)?;
            let end = begin.checked_add(length).ok_or(CodecError::OutOfRange)?;
            let starts = scales.up(first)?.timestamp;
            if pages.last().is_some_and(|before| before.starts >= starts) {
                return Err(CodecError::Order);
            }
            let points = left.min(PAGE_POINTS);
            pages.push(Page {
                first,
                starts,
                points,
                begin,
                end,
            });
            left -= points;
            begin = end;
        }
        let damaged = |_| CodecError::Truncated;
        let (file, rest) = FileDecompressor::new(cursor.rest()).map_err(damaged)?;
        let (times, rest) = file.chunk_decompressor(rest).map_err(damaged)?;
        let (temperatures, bytes) = file.chunk_decompressor(rest).map_err(damaged)?;
        if bytes.len() == begin && !pages.is_empty() {
            Ok(Self {
                count,
                scales,
                pages,
                times,
                temperatures,
                bytes,
            })
        } else {
            Err(CodecError::Truncated)
        }
    }

    pub(super) fn within(mut self, window: Window) -> Result<Part, CodecError> {
        // The last page with a start at or before the start of the window may reach into the window.
        let begin = window.from.map_or(0, |from| {
            let after = self.pages.partition_point(|page| page.starts <= from);
            after.saturating_sub(1)
        });
        let end = window.to.map_or(self.pages.len(), |to| {
            self.pages.partition_point(|page| page.starts < to)
        });
        let end = end.max(begin + 1);
        let mut points = AscendingPoints::new(self.scales);
        points.points.reserve((end - begin) * PAGE_POINTS);
        let (mut times, mut temperatures) = ([0; PAGE_POINTS], [0; PAGE_POINTS]);
        for at in begin..end {
            let page = self.pages[at];
            let mut rest = self
                .bytes
                .get(page.begin..page.end)
                .ok_or(CodecError::Truncated)?;
            let differences = page.points - 1;
            if differences > 0 {
                rest = read_page(&mut self.times, rest, &mut times[..differences])?;
                rest = read_page(
                    &mut self.temperatures,
                    rest,
                    &mut temperatures[..differences],
                )?;
            }
            if !rest.is_empty() {
                return Err(CodecError::Truncated);
            }
            let mut numbers = page.first;
            points.push(numbers)?;
            for (&time, &temperature) in times.iter().zip(&temperatures).take(differences) {
                numbers = numbers.plus(time, temperature)?;
                points.push(numbers)?;
            }
        }
        let next = self.pages.get(end).map(|page| page.starts);
        let last = points.points.last().map(|point| point.timestamp);
        if next.is_some() && next <= last {
            return Err(CodecError::Order);
        }
        Ok(Part {
            count: self.count,
            first: self.pages[0].starts,
            points: points.points,
            next,
        })
    }
}

/// Decodes a column of a page. Returns the bytes after the column.
fn read_page<'a>(
    column: &mut ChunkDecompressor<i64>,
    bytes: &'a [u8],
    differences: &mut [i64],
) -> Result<&'a [u8], CodecError> {
    let damaged = |_| CodecError::Truncated;
    let mut page = column
        .page_decompressor(bytes, differences.len())
        .map_err(damaged)?;
    let progress = page.read(differences).map_err(damaged)?;
    if progress.n_processed == differences.len() && progress.finished {
        Ok(page.into_src())
    } else {
        Err(CodecError::Truncated)
    }
}
