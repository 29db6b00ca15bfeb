//! A sink that publishes its file.

use std::ops::Range;

use diskimg_core::{Batch, BlockSink, HostRange, Result, SinkProperties};

use super::image_files::ImageFileRole;
use super::unpublished_file::UnpublishedFile;

/// A sink whose file is published when it is finished.
pub(super) struct PublishingSink {
    pub(super) sink: Box<dyn BlockSink>,
    pub(super) file: UnpublishedFile,
    pub(super) role: ImageFileRole,
    pub(super) durable: bool,
}

impl BlockSink for PublishingSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.sink.write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.sink.zero(range)
    }
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.sink.copy_from(offset, from)
    }
    fn properties(&self) -> SinkProperties {
        self.sink.properties()
    }
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        self.sink.batch()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        let this = *self;
        let finished = this.sink.finish().and_then(|()| this.role.publish(this.file, this.durable));
        if finished.is_err() {
            this.role.withdraw();
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn publishing_sink_forwards_the_properties_of_its_sink() {
        let dir = tempfile::tempdir().unwrap();
        diskimg_core::conformance::forwards_properties(&|sink| {
            let file = UnpublishedFile::new(&dir.path().join("disk"), false).unwrap();
            Box::new(PublishingSink { sink, file, role: ImageFileRole::Main(Arc::default()), durable: false })
        });
    }
}
