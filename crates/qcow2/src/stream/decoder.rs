//! Splits a stream into clusters and reads the header.

use diskimg_core::{BlockSink, Error, ErrorKind, Finding, Limits, Memory, Result, SpillFile, StreamDecoder};

use super::claims::Claims;
use super::clusters::Clusters;
use super::guest_output::GuestOutput;
use super::spill::Spill;
use super::table_reader::TableReader;
use crate::addr::HostOffset;
use crate::cluster_codec::ClusterCodec;
use crate::errors::FORMAT;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::header::{Header, V3_LENGTH_WITH_COMPRESSION};
use crate::l2::L2Rules;
use crate::selected_l1::SelectedL1;
use crate::short_cluster::ShortCluster;

/// Creates a decoder of a streamed image: [`diskimg_core::Driver::stream`] of this format.
///
/// # Errors
/// None today.
pub(crate) fn stream(limits: &Limits) -> Result<Box<dyn StreamDecoder>> {
    Ok(Box::new(Qcow2Decoder {
        limits: limits.clone(),
        spill_file: None,
        state: DecoderState::Header,
        position: HostOffset(0),
        unit: V3_LENGTH_WITH_COMPRESSION as usize,
        pending: Vec::new(),
        short: None,
    }))
}

/// Decodes an image cluster by cluster.
struct Qcow2Decoder {
    limits: Limits,
    spill_file: Option<Box<dyn SpillFile>>,
    state: DecoderState,
    /// The host offset of `pending`.
    position: HostOffset,
    /// Bytes that are processed together: the header, then its cluster, then each cluster.
    unit: usize,
    /// The beginning of the next unit.
    pending: Vec<u8>,
    /// The data cluster in which the image ended.
    short: Option<ShortCluster>,
}

enum DecoderState {
    /// The cluster size is not known yet.
    Header,
    FirstCluster,
    Clusters(Box<TableReader>),
    /// Finished or failed.
    Ended,
}

impl Qcow2Decoder {
    /// Processes a unit, which may be truncated at the end of the file.
    fn process(&mut self, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        match &mut self.state {
            DecoderState::Header => {
                let cluster = Header::parse(bytes)?.geometry.cluster_size();
                self.unit = usize::try_from(cluster).unwrap_or(usize::MAX);
                self.state = DecoderState::FirstCluster;
            }
            DecoderState::FirstCluster => {
                let reader = table_reader(bytes, &self.limits, self.spill_file.take())?;
                self.position = HostOffset(bytes.len() as u64);
                self.state = DecoderState::Clusters(Box::new(reader));
            }
            DecoderState::Clusters(reader) => {
                reader.push(self.position, bytes, sink)?;
                self.position = self.position.plus(bytes.len() as u64);
            }
            DecoderState::Ended => {
                let because = "the decoder has ended or failed before and accepts no more input";
                return Err(Error::new(ErrorKind::InvalidInput).format(FORMAT).because(because));
            }
        }
        Ok(())
    }

    /// Processes the pending bytes. Those of the header stay pending: they begin its cluster.
    fn process_pending(&mut self, sink: &dyn BlockSink) -> Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        let is_header = matches!(self.state, DecoderState::Header);
        self.process(&bytes, sink)?;
        self.pending = bytes;
        if !is_header {
            self.pending.clear();
        }
        Ok(())
    }

    fn push_units(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let mut rest = input;
        while !rest.is_empty() {
            let whole = rest.get(..self.unit).filter(|_| self.pending.is_empty());
            if let (Some(unit), DecoderState::Clusters(_)) = (whole, &self.state) {
                self.process(unit, sink)?;
                rest = rest.get(unit.len()..).unwrap_or_default();
                continue;
            }
            let missing = self.unit.saturating_sub(self.pending.len());
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.pending.extend_from_slice(now);
            rest = later;
            if self.pending.len() >= self.unit {
                self.process_pending(sink)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        while matches!(self.state, DecoderState::Header | DecoderState::FirstCluster) {
            self.process_pending(sink)?;
        }
        if !self.pending.is_empty() {
            self.process_pending(sink)?;
        }
        match &mut self.state {
            DecoderState::Clusters(reader) => {
                reader.finish(self.position.0, sink)?;
                self.short = reader.short_cluster();
                Ok(reader.size())
            }
            _ => self.process(&[], sink).map(|()| 0),
        }
    }
}

impl StreamDecoder for Qcow2Decoder {
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let done = self.push_units(input, sink);
        if done.is_err() {
            self.state = DecoderState::Ended;
        }
        done
    }

    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        let size = self.end(sink);
        self.state = DecoderState::Ended;
        size
    }

    fn use_spill_file(&mut self, file: Box<dyn SpillFile>) {
        self.spill_file = Some(file);
    }

    fn findings(&self) -> Vec<Finding> {
        self.short.iter().map(ShortCluster::finding).collect()
    }
}

/// Reads the header and creates the reader of the tables. Refuses an image that needs other files, as opening it
/// without a resolver does.
fn table_reader(
    first_cluster: &[u8],
    limits: &Limits,
    spill_file: Option<Box<dyn SpillFile>>,
) -> Result<TableReader> {
    let source = Memory::new(first_cluster.to_vec());
    let budget = limits.header_budget();
    let parsed = FirstCluster::read(&mut FileWindow::new(&source, limits)?, &budget)?;
    parsed.check_readable()?;
    if let Some(reference) = parsed.data_file.as_ref().or(parsed.backing.as_ref()) {
        return Err(reference.denied());
    }
    let header = &parsed.header;
    let active = SelectedL1::active(header);
    let size = active.disk_size;
    limits.check_virtual_size(size).map_err(|error| error.format(FORMAT).at(24))?;
    active.check_in_file(header, u64::MAX)?;

    // A quarter of the memory for tables is for spilled bytes.
    let spill_memory = limits.metadata_cache / 4;
    let clusters = Clusters::new(
        header.geometry,
        active.reserved(header),
        GuestOutput::new(size, header.geometry, ClusterCodec::new(header.compression)),
        Claims::new(limits.metadata_cache.saturating_sub(spill_memory)),
        Spill::new(spill_memory, spill_file),
    );
    let rules = L2Rules::new(header, false);
    Ok(TableReader::new(rules, size, active.mapping_bytes(header), header.refcount_table(), clusters))
}
