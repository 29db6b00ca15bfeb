/* Calls with each kind of target, in one expression. */
#ifndef TARGETS_H
#define TARGETS_H
#include "test.h"

static inline diskimg_target path_target(const char *path) {
    diskimg_target target = DISKIMG_TARGET_INIT;
    target.path = path;
    return target;
}

static inline diskimg_target fd_target(int fd) {
    diskimg_target target = DISKIMG_TARGET_INIT;
    target.fd = fd;
    return target;
}

static inline diskimg_target io_target(const diskimg_io *io) {
    diskimg_target target = DISKIMG_TARGET_INIT;
    target.io = io;
    return target;
}

static inline diskimg_target write_target(diskimg_write_fn write, void *user) {
    diskimg_target target = DISKIMG_TARGET_INIT;
    target.write = write;
    target.write_user = user;
    return target;
}

static inline diskimg_stream stream_of(diskimg_read_fn read, void *user) {
    diskimg_stream stream = DISKIMG_STREAM_INIT;
    stream.read = read;
    stream.read_user = user;
    return stream;
}

static inline diskimg_status convert_to_path(const diskimg_image *image, const char *path,
                                             const diskimg_convert_options *options, diskimg_convert_result *result,
                                             diskimg_error **error) {
    diskimg_target target = path_target(path);
    return diskimg_convert(image, &target, options, result, error);
}

static inline diskimg_status convert_to_fd(const diskimg_image *image, int fd, const diskimg_convert_options *options,
                                           diskimg_convert_result *result, diskimg_error **error) {
    diskimg_target target = fd_target(fd);
    return diskimg_convert(image, &target, options, result, error);
}

static inline diskimg_status convert_to_io(const diskimg_image *image, const diskimg_io *io,
                                           const diskimg_convert_options *options, diskimg_convert_result *result,
                                           diskimg_error **error) {
    diskimg_target target = io_target(io);
    return diskimg_convert(image, &target, options, result, error);
}

static inline diskimg_status convert_to_stream(const diskimg_image *image, diskimg_write_fn write, void *user,
                                               const diskimg_convert_options *options, diskimg_convert_result *result,
                                               diskimg_error **error) {
    diskimg_target target = write_target(write, user);
    return diskimg_convert(image, &target, options, result, error);
}

static inline diskimg_status convert_stream_to_path(diskimg_read_fn read, void *user,
                                                    const diskimg_open_options *open_options, const char *path,
                                                    const diskimg_convert_options *options,
                                                    diskimg_convert_result *result, diskimg_error **error) {
    diskimg_stream stream = stream_of(read, user);
    diskimg_target target = path_target(path);
    return diskimg_convert_stream(&stream, open_options, &target, options, result, error);
}

static inline diskimg_status convert_stream_to_fd(diskimg_read_fn read, void *user,
                                                  const diskimg_open_options *open_options, int fd,
                                                  const diskimg_convert_options *options,
                                                  diskimg_convert_result *result, diskimg_error **error) {
    diskimg_stream stream = stream_of(read, user);
    diskimg_target target = fd_target(fd);
    return diskimg_convert_stream(&stream, open_options, &target, options, result, error);
}

static inline diskimg_status convert_stream_to_io(diskimg_read_fn read, void *user,
                                                  const diskimg_open_options *open_options, const diskimg_io *io,
                                                  const diskimg_convert_options *options,
                                                  diskimg_convert_result *result, diskimg_error **error) {
    diskimg_stream stream = stream_of(read, user);
    diskimg_target target = io_target(io);
    return diskimg_convert_stream(&stream, open_options, &target, options, result, error);
}

static inline diskimg_status convert_stream_to_stream(diskimg_read_fn read, void *user,
                                                      const diskimg_open_options *open_options, diskimg_write_fn write,
                                                      void *write_user, const diskimg_convert_options *options,
                                                      diskimg_convert_result *result, diskimg_error **error) {
    diskimg_stream stream = stream_of(read, user);
    diskimg_target target = write_target(write, write_user);
    return diskimg_convert_stream(&stream, open_options, &target, options, result, error);
}

static inline diskimg_status create_path(const char *path, uint64_t size, const diskimg_convert_options *options,
                                         diskimg_writer **writer, diskimg_error **error) {
    diskimg_target target = path_target(path);
    return diskimg_create(&target, size, options, writer, error);
}

static inline diskimg_status create_io(const diskimg_io *io, uint64_t size, const diskimg_convert_options *options,
                                       diskimg_writer **writer, diskimg_error **error) {
    diskimg_target target = io_target(io);
    return diskimg_create(&target, size, options, writer, error);
}

static inline diskimg_status check_image(const diskimg_image *image, diskimg_problem_fn problem, void *user,
                                         const diskimg_cancel *cancel, diskimg_check_result *result,
                                         diskimg_error **error) {
    diskimg_check_options options = DISKIMG_CHECK_OPTIONS_INIT;
    options.problem = problem;
    options.problem_user = user;
    options.cancel = cancel;
    return diskimg_check(image, &options, result, error);
}

static inline diskimg_status compare_images(const diskimg_image *a, const diskimg_image *b,
                                            const diskimg_cancel *cancel, bool *same, uint64_t *first,
                                            diskimg_error **error) {
    diskimg_compare_options options = DISKIMG_COMPARE_OPTIONS_INIT;
    options.cancel = cancel;
    return diskimg_compare(a, b, &options, same, first, error);
}

#endif
