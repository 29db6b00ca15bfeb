//! Comparing the tables of a sparse extent with the length of its file.

use std::ops::ControlFlow;

use diskimg_core::{BlockSource, Error, Finding, HostOffset, ImageInfo, Limits, Result, range};

use crate::addr::{ExtentOffset, SECTOR, sector_offset};
use crate::cowd;
use crate::entry_format::{EntryFormat, GrainEntry};
use crate::errors::truncated;
use crate::file_head::{FileHead, FileKind};
use crate::footer;
use crate::geometry::Geometry;
use crate::grain_directories;
use crate::grain_tables::GrainDirectories;
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH, Marker};
use crate::sesparse;
use crate::sparse_header::COMPRESSED;

/// The bytes of a directory that are read at a time. Our limit.
const STEP: u64 = 65_536;
/// The bytes of tables that are read when an image is opened: those of a disk of 64 GiB. Our limit.
const MOST_TABLES: u64 = 4 << 20;
/// The bytes after the last grain that are searched for data. Our limit.
const SEARCHED: u64 = 1 << 20;

/// The tables of one sparse extent.
struct GrainSurvey<'a> {
    source: &'a dyn BlockSource,
    format: EntryFormat,
    geometry: Geometry,
    directories: GrainDirectories,
    /// The number of bytes of tables that may still be read.
    left: u64,
    /// The end of header, descriptor and tables, if they precede the grains of a stream-optimised extent.
    preamble_end: Option<HostOffset>,
    /// The last grain that was found.
    last_grain: HostOffset,
}

/// The end of a survey.
enum SurveyEnd {
    /// With a finding on bytes after the last grain.
    Complete(Option<Finding>),
    /// The limit ended the survey.
    Limit,
    Missing(Error),
}

/// Returns a finding for the first table or grain past the end of the file: [`diskimg_core::Driver::survey`] of this
/// format. Reads at most [`Limits::metadata_cache`] bytes of tables. Extents in other files are not examined.
pub(crate) fn survey(source: &dyn BlockSource, info: &ImageInfo, limits: &Limits) -> Vec<Finding> {
    if limits.check_virtual_size(info.virtual_size).is_err() {
        return Vec::new();
    }
    // The description has reported damage to footer and directories.
    let is_reported = info.findings.iter().any(|found| matches!(found.check, "footer" | "grain_directory"));
    let survey =
        FileHead::read(source, limits).and_then(|head| GrainSurvey::new(source, &head, info, limits));
    match survey.and_then(|survey| survey.map_or(Ok(SurveyEnd::Complete(None)), GrainSurvey::run)) {
        Ok(SurveyEnd::Complete(finding)) => finding.into_iter().collect(),
        Err(_) if is_reported => Vec::new(),
        Ok(SurveyEnd::Limit) => {
            let message = format!(
                "only {} bytes of grain tables were compared with the length of the file",
                limits.metadata_cache
            );
            vec![Finding::note("tables_not_compared", message)]
        }
        Ok(SurveyEnd::Missing(error)) | Err(error) => {
            let finding = Finding::warning("truncated", error.to_string());
            vec![match error.offset() {
                Some(offset) => finding.at(offset),
                None => finding,
            }]
        }
    }
}

/// Returns the finding on bytes after the end of a stream-optimised image whose tables precede its grains, such as a
/// second image. Reads at most [`MOST_TABLES`] bytes of tables.
pub(crate) fn trailing_data(
    source: &dyn BlockSource,
    head: &FileHead,
    info: &ImageInfo,
    limits: &Limits,
) -> Option<Finding> {
    let FileKind::Hosted(header) = &head.kind else { return None };
    if header.has_footer() || !header.has(COMPRESSED) {
        return None;
    }
    let limits = Limits { metadata_cache: limits.metadata_cache.min(MOST_TABLES), ..limits.clone() };
    let survey = GrainSurvey::new(source, head, info, &limits).ok()??;
    survey.preamble_end?;
    match survey.run() {
        Ok(SurveyEnd::Complete(finding)) => finding,
        // Damage is reported when it is read.
        _ => None,
    }
}

impl<'a> GrainSurvey<'a> {
    /// Returns `None` for an image without tables of its own.
    fn new(
        source: &'a dyn BlockSource,
        head: &FileHead,
        info: &ImageInfo,
        limits: &Limits,
    ) -> Result<Option<Self>> {
        if head.has_other_files() {
            return Ok(None);
        }
        let size = info.virtual_size;
        let mut preamble_end = None;
        let (format, geometry, directories) = match &head.kind {
            FileKind::Hosted(header) if !header.is_descriptor_only() => {
                let (header, at) = match header.has_footer() {
                    true => {
                        let (footer, _) = footer::find(source, header)?;
                        (footer.header, footer.at)
                    }
                    false => (header.clone(), HostOffset(0)),
                };
                let (directories, _) = grain_directories::select(&header, at, source.size())?;
                let format = EntryFormat::Hosted { compressed: header.has(COMPRESSED) };
                let overhead = sector_offset(header.overhead_sectors);
                let tables_first = at.0 == 0 && directories.primary < overhead;
                preamble_end = Some(overhead).filter(|_| tables_first && format.is_compressed());
                let geometry = Geometry::new(header.grain_bytes(), header.entries_per_table.into(), size);
                (format, geometry, directories)
            }
            FileKind::Cowd(header) => {
                let directories = GrainDirectories { primary: header.directory, redundant: None };
                let geometry = Geometry::new(header.grain_bytes, cowd::ENTRIES_PER_TABLE, size);
                (EntryFormat::Cowd, geometry, directories)
            }
            FileKind::SeSparse(header) => {
                let directories = GrainDirectories { primary: header.directory.start, redundant: None };
                let geometry = Geometry::new(sesparse::GRAIN_BYTES, sesparse::ENTRIES_PER_TABLE, size);
                (EntryFormat::SeSparse(header.areas), geometry, directories)
            }
            FileKind::Hosted(_) | FileKind::Text => return Ok(None),
        };
        let (left, last_grain) = (limits.metadata_cache, HostOffset(0));
        Ok(Some(Self { source, format, geometry, directories, left, preamble_end, last_grain }))
    }

    fn run(mut self) -> Result<SurveyEnd> {
        let per_step = STEP / self.format.entry_bytes().max(1);
        let mut first = 0;
        while first < self.geometry.tables() {
            let count = per_step.min(self.geometry.tables().saturating_sub(first));
            let at = self.entry_at(self.directories.primary, first);
            let Some(entries) =
                self.entries("grain directory", at, count, self.geometry.table_start(first))?
            else {
                return Ok(SurveyEnd::Limit);
            };
            for (index, entry) in (first..).zip(entries) {
                if entry != 0 {
                    if let ControlFlow::Break(end) = self.table(index, entry)? {
                        return Ok(end);
                    }
                }
            }
            first = first.saturating_add(count);
        }
        Ok(SurveyEnd::Complete(self.trailing_data()?))
    }

    /// Examines the grain table that directory entry `index` refers to.
    fn table(&mut self, index: u64, entry: u64) -> Result<ControlFlow<SurveyEnd>> {
        let start = self.geometry.table_start(index);
        let located = self.format.table(entry).ok().filter(|table| table.0 < self.source.size());
        let table = match (located, self.directories.redundant) {
            (Some(table), _) => table,
            // The description has reported the entry.
            (None, Some(_)) => return Ok(ControlFlow::Continue(())),
            (None, None) => match self.format.table(entry) {
                Ok(table) => return Ok(ControlFlow::Break(self.missing("grain table", table, start))),
                // The check reports an invalid entry.
                Err(_) => return Ok(ControlFlow::Continue(())),
            },
        };
        let grains =
            self.geometry.grains().saturating_sub(index.saturating_mul(self.geometry.entries_per_table()));
        let count = grains.min(self.geometry.entries_per_table());
        let Some(entries) = self.entries("grain table", table, count, start)? else {
            return Ok(ControlFlow::Break(SurveyEnd::Limit));
        };
        for (slot, entry) in (0..).zip(entries) {
            let guest = self.geometry.grain_at(index, slot);
            let Ok(GrainEntry::At(host)) = self.format.grain(entry, self.geometry.grain_bytes()) else {
                continue;
            };
            let len = match self.format.is_compressed() {
                true => GRAIN_HEADER as u64,
                false => self.geometry.grain_len(guest),
            };
            if host.plus(len).0 > self.source.size() {
                return Ok(ControlFlow::Break(self.missing("grain", host, guest)));
            }
            self.last_grain = self.last_grain.max(host);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The finding on data after the last grain. Metadata with a marker may follow it.
    fn trailing_data(&self) -> Result<Option<Finding>> {
        let Some(mut end) = self.preamble_end else { return Ok(None) };
        if self.last_grain >= end {
            let Some(Marker::Grain { bytes, .. }) = self.marker(self.last_grain)? else { return Ok(None) };
            let grain_end = self.last_grain.plus(GRAIN_HEADER as u64).plus(bytes.into());
            end = HostOffset(grain_end.0.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX));
        }
        let searched = end.0..end.plus(SEARCHED).0.min(self.source.size());
        if searched.is_empty() || matches!(self.marker(end)?, Some(Marker::Metadata { .. })) {
            return Ok(None);
        }
        let mut bytes = vec![0; range::buffer_len(&searched)];
        self.source.read_at(end.0, &mut bytes)?;
        let first = bytes.iter().position(|byte| *byte != 0);
        Ok(first.map(|index| footer::data_follows(end.plus(index as u64))))
    }

    /// The marker at `at`. `None` if there is none.
    fn marker(&self, at: HostOffset) -> Result<Option<Marker>> {
        let mut bytes = [0; MARKER_LENGTH];
        if at.plus(MARKER_LENGTH as u64).0 > self.source.size() {
            return Ok(None);
        }
        self.source.read_at(at.0, &mut bytes)?;
        Ok(Marker::parse(&bytes, at).ok())
    }

    /// Returns `count` entries from `at` on; `None` if the limit allows no more.
    fn entries(
        &mut self,
        what: &str,
        at: HostOffset,
        count: u64,
        guest: ExtentOffset,
    ) -> Result<Option<Vec<u64>>> {
        let len = count.saturating_mul(self.format.entry_bytes());
        let Some(left) = self.left.checked_sub(len) else { return Ok(None) };
        self.left = left;
        if at.plus(len).0 > self.source.size() {
            return Err(self.ends_before(what, at, guest));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.source.read_at(at.0, &mut bytes)?;
        let entry_bytes = usize::try_from(self.format.entry_bytes()).unwrap_or(4);
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        Ok(Some(bytes.chunks_exact(entry_bytes).map(word).collect()))
    }

    fn entry_at(&self, start: HostOffset, index: u64) -> HostOffset {
        start.plus(index.saturating_mul(self.format.entry_bytes()))
    }

    fn missing(&self, what: &str, at: HostOffset, guest: ExtentOffset) -> SurveyEnd {
        SurveyEnd::Missing(self.ends_before(what, at, guest))
    }

    fn ends_before(&self, what: &str, at: HostOffset, guest: ExtentOffset) -> Error {
        let because = format!("the file ends at byte {}", self.source.size());
        truncated(what).at(at.0).guest(guest.0).because(because)
    }
}
