//! Cutting the stream into clusters, and the header at its front.

use diskimg_core::{BlockSink, Budget, Error, ErrorKind, Limits, Memory, Result, SpillFile, StreamDecoder};

use super::clusters::{Body, BodyParts};
use crate::cluster_codec::ClusterCodec;
use crate::errors::FORMAT;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::header::{Header, V3_LENGTH_WITH_COMPRESSION};
use crate::l2::L2Rules;
use crate::selected_l1::SelectedL1;

/// A decoder of an image that arrives once, in order: [`diskimg_core::Driver::stream`] of this format.
///
/// # Errors
/// None today.
pub(crate) fn stream(limits: &Limits) -> Result<Box<dyn StreamDecoder>> {
    Ok(Box::new(Qcow2Stream {
        limits: limits.clone(),
        shelf: None,
        state: State::Header,
        position: 0,
        unit: V3_LENGTH_WITH_COMPRESSION as usize,
        pending: Vec::new(),
    }))
}

/// Takes an image cluster by cluster.
struct Qcow2Stream {
    limits: Limits,
    shelf: Option<Box<dyn SpillFile>>,
    state: State,
    /// Where `pending` begins in the file.
    position: u64,
    /// Bytes that are taken together: first the header, then its cluster, then each cluster.
    unit: usize,
    /// The beginning of the next unit.
    pending: Vec<u8>,
}

enum State {
    /// Too little of the file is there to know the size of a cluster.
    Header,
    FirstCluster,
    Body(Box<Body>),
    Ended,
}

impl Qcow2Stream {
    /// Takes a unit, or what the end of the file left of one.
    fn take(&mut self, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        match &mut self.state {
            State::Header => {
                let cluster = Header::parse(bytes)?.geometry.cluster_size();
                self.unit = usize::try_from(cluster).unwrap_or(usize::MAX);
                self.state = State::FirstCluster;
            }
            State::FirstCluster => {
                let body = body(bytes, &self.limits, self.shelf.take())?;
                self.position = bytes.len() as u64;
                self.state = State::Body(Box::new(body));
            }
            State::Body(body) => {
                body.pass(self.position, bytes, sink)?;
                self.position = self.position.saturating_add(bytes.len() as u64);
            }
            State::Ended => {
                return Err(Error::new(ErrorKind::InvalidInput)
                    .format(FORMAT)
                    .because("the decoder has ended or failed before and takes no more"));
            }
        }
        Ok(())
    }

    /// Takes the pending bytes; the header's are the beginning of its cluster.
    fn take_pending(&mut self, sink: &dyn BlockSink) -> Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        let is_header = matches!(self.state, State::Header);
        self.take(&bytes, sink)?;
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
            if let (Some(unit), State::Body(_)) = (whole, &self.state) {
                self.take(unit, sink)?;
                rest = rest.get(unit.len()..).unwrap_or_default();
                continue;
            }
            let missing = self.unit.saturating_sub(self.pending.len());
            let (taken, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.pending.extend_from_slice(taken);
            rest = later;
            if self.pending.len() >= self.unit {
                self.take_pending(sink)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        while matches!(self.state, State::Header | State::FirstCluster) {
            self.take_pending(sink)?;
        }
        if !self.pending.is_empty() {
            self.take_pending(sink)?;
        }
        match &mut self.state {
            State::Body(body) => {
                body.finish(self.position, sink)?;
                Ok(body.size)
            }
            _ => self.take(&[], sink).map(|()| 0),
        }
    }
}

impl StreamDecoder for Qcow2Stream {
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let done = self.push_units(input, sink);
        if done.is_err() {
            self.state = State::Ended;
        }
        done
    }

    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        let size = self.end(sink);
        self.state = State::Ended;
        size
    }

    fn use_shelf(&mut self, shelf: Box<dyn SpillFile>) {
        self.shelf = Some(shelf);
    }
}

/// What the first cluster says of the rest. An image that is not whole by itself is refused, as the reader
/// does when nobody resolves references.
fn body(first_cluster: &[u8], limits: &Limits, shelf: Option<Box<dyn SpillFile>>) -> Result<Body> {
    let source = Memory::new(first_cluster.to_vec());
    let budget = Budget::new("header", limits.header_bytes);
    let parsed = FirstCluster::read(&mut FileWindow::new(&source, limits)?, &budget)?;
    parsed.check_readable()?;
    if let Some(reference) = parsed.data_file.as_ref().or(parsed.backing.as_ref()) {
        return Err(reference.denied());
    }
    let header = &parsed.header;
    let active = SelectedL1::active(header);
    limits.check_virtual_size(active.disk_size).map_err(|error| error.format(FORMAT).at(24))?;
    active.check_in_file(header, u64::MAX)?;
    let parts = BodyParts {
        rules: L2Rules::new(header, false),
        size: active.disk_size,
        l1: active.mapping_bytes(header),
        refcount_table: header.refcount_table(),
        reserved: active.reserved(header),
        codec: ClusterCodec::new(header.compression),
    };
    Ok(Body::new(parts, limits, shelf))
}
