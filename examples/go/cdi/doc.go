// Package cdi offers the operations that the Containerized Data Importer of KubeVirt (CDI) runs as commands, qemu-img and
// nbdkit, as functions over libdiskimg. Operations has the methods of CDI's interface QEMUOperations, with two differences:
// a size is an int64 in bytes (Quantity.Value()), and New has the context and the settings that CDI keeps in globals.
//
//	CDI runs                               Operations
//	qemu-img info                          Info
//	qemu-img info, compared with the PVC   Validate
//	nbdkit curl | qemu-img convert         ConvertToRawStream, Import
//	download to scratch, then convert      Import: in one pass, usually without scratch space
//	qemu-img convert -S 0                  Import to a block device with Preallocate
//	qemu-img create                        CreateBlankImage
//	dd if=/dev/zero                        PreallocateBlankBlock
//	qemu-img resize -f raw                 Resize
//	qemu-img rebase -u, qemu-img commit    Rebase, Commit
//
// Sources are paths and the URL schemes file, http and https. A body may be a raw disk, qcow2, VMDK, VDI or an OVA, and may
// be compressed with gz, xz or zst. An image is untrusted: no other file is opened, whatever it names.
//
// # What is impossible
//
//   - VHD and VHDX, which CDI accepts, are refused by name.
//   - nbd+unix URLs: the library has no NBD client. VDDK and ImageIO sources need one, or an io.ReaderAt over their API.
//   - An image with a backing file is refused by Validate and Import, also if the file exists. CDI accepts an existing one.
//   - An image is never changed in place. Rebase only records the backing file for Commit, and Commit writes only to the
//     raw base; the delta stays as it is. Resize changes raw disks only.
//   - The checksum of a source that is read in ranges: its bytes are not read in order. Import streams it then, and needs
//     scratch space for a format that cannot be streamed.
package cdi
