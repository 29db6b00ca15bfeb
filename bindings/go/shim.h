/* The parts of the binding that must be C.
 *
 * A cgo.Handle crosses the border as a uintptr_t, never as a pointer: Go stops a program whose pointers hold small
 * numbers. The library gets it as `void *`.
 *
 * Each function here with a `call` remembers it for the thread while the library runs. So a callback for a file, which
 * serves many calls, finds the call that it serves, if the library calls it on the thread of the call. */
#ifndef GODISKIMG_SHIM_H
#define GODISKIMG_SHIM_H

#include <diskimg.h>
#include <stdlib.h>
#include <string.h>

/* The functions that a file of the program has. */
#define GODISKIMG_READ 1u
#define GODISKIMG_NEXT_DATA 2u
#define GODISKIMG_WRITE 4u
#define GODISKIMG_ZERO 8u
#define GODISKIMG_SET_SIZE 16u
#define GODISKIMG_FLUSH 32u

void godiskimg_fill_io(diskimg_io *io, uintptr_t file, uint32_t functions);

void godiskimg_init_open(diskimg_open_options *options);
void godiskimg_set_open_progress(diskimg_open_options *options, uintptr_t call);
void godiskimg_set_resolve(diskimg_open_options *options, uintptr_t files);
void godiskimg_set_log(diskimg_open_options *options, uintptr_t files);
void godiskimg_init_convert(diskimg_convert_options *options);
void godiskimg_set_convert_progress(diskimg_convert_options *options, uintptr_t call);
void godiskimg_init_target(diskimg_target *target);
void godiskimg_set_target_write(diskimg_target *target, uintptr_t call);
void godiskimg_init_stream(diskimg_stream *stream, uintptr_t call, uint64_t length);
void godiskimg_init_check(diskimg_check_options *options, uintptr_t call);
void godiskimg_set_check_progress(diskimg_check_options *options, uintptr_t call);
void godiskimg_init_compare(diskimg_compare_options *options);
void godiskimg_set_compare_progress(diskimg_compare_options *options, uintptr_t call);

void godiskimg_init_parent(diskimg_parent *parent);

diskimg_info godiskimg_empty_info(void);
diskimg_reference godiskimg_empty_reference(void);
diskimg_snapshot godiskimg_empty_snapshot(void);
diskimg_finding godiskimg_empty_finding(void);
diskimg_setting godiskimg_empty_setting(void);
diskimg_limit godiskimg_empty_limit(void);
diskimg_convert_result godiskimg_empty_convert_result(void);
diskimg_check_result godiskimg_empty_check_result(void);

diskimg_status godiskimg_open_path(uintptr_t call, const char *path, const diskimg_open_options *options,
                                   diskimg_image **out, diskimg_error **err);
diskimg_status godiskimg_open_fd(uintptr_t call, int fd, const diskimg_open_options *options, diskimg_image **out,
                                 diskimg_error **err);
diskimg_status godiskimg_open_memory(uintptr_t call, const void *data, size_t len, const diskimg_open_options *options,
                                     diskimg_image **out, diskimg_error **err);
diskimg_status godiskimg_open_io(uintptr_t call, const diskimg_io *io, const diskimg_open_options *options,
                                 diskimg_image **out, diskimg_error **err);
diskimg_status godiskimg_extents(uintptr_t call, const diskimg_image *image, uint64_t offset, uint64_t len,
                                 diskimg_extent *out, size_t cap, size_t *count, diskimg_error **err);
diskimg_status godiskimg_convert(uintptr_t call, const diskimg_image *image, const diskimg_target *target,
                                 const diskimg_convert_options *options, diskimg_convert_result *result,
                                 diskimg_error **err);
diskimg_status godiskimg_convert_stream(uintptr_t call, const diskimg_stream *stream, const diskimg_open_options *open,
                                        const diskimg_target *target, const diskimg_convert_options *options,
                                        diskimg_convert_result *result, diskimg_error **err);
diskimg_status godiskimg_measure(uintptr_t call, const diskimg_image *image, const diskimg_convert_options *options,
                                 uint64_t *required, uint64_t *fully_allocated, diskimg_error **err);
diskimg_status godiskimg_check(uintptr_t call, const diskimg_image *image, const diskimg_check_options *options,
                               diskimg_check_result *result, diskimg_error **err);
diskimg_status godiskimg_compare(uintptr_t call, const diskimg_image *a, const diskimg_image *b,
                                 const diskimg_compare_options *options, bool *same, uint64_t *first_difference,
                                 diskimg_error **err);
diskimg_status godiskimg_create(uintptr_t call, const diskimg_target *target, uint64_t virtual_size,
                                const diskimg_convert_options *options, diskimg_writer **out, diskimg_error **err);
diskimg_status godiskimg_write(uintptr_t call, const diskimg_writer *writer, const void *buf, size_t len,
                               uint64_t offset, diskimg_error **err);
diskimg_status godiskimg_write_zeroes(uintptr_t call, const diskimg_writer *writer, uint64_t offset, uint64_t len,
                                      diskimg_error **err);
diskimg_status godiskimg_finish(uintptr_t call, diskimg_writer *writer, diskimg_error **err);

/* The result of a read, as a value: a Go variable whose address C receives would be allocated for each read. */
typedef struct godiskimg_read {
    diskimg_error *error;
    size_t count;
    diskimg_status status;
} godiskimg_read;
godiskimg_read godiskimg_pread(uintptr_t call, const diskimg_image *image, void *buf, size_t len, uint64_t offset);

#endif
