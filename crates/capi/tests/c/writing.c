/* Normal use: measure, convert and create. Arguments: the images of the repository, and a scratch directory. */
#include "images.h"

static void measured_size_equals_the_size_written(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *image = open_good("mixed.qcow2");
    const uint32_t formats[] = {DISKIMG_FORMAT_QCOW2, DISKIMG_FORMAT_VMDK, DISKIMG_FORMAT_VDI};
    const char *path = in(scratch, "measured");
    uint64_t required = 0, full = 0;
    struct stat there;

    GIVES(DISKIMG_OK, diskimg_measure(image, NULL, &required, &full, &error));
    CHECK(required == diskimg_size(image) && full == required);
    options.flags = DISKIMG_CONVERT_NO_SPARSE | DISKIMG_CONVERT_OVERWRITE;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        options.format = formats[i];
        GIVES(DISKIMG_OK, diskimg_measure(image, &options, &required, &full, &error));
        GIVES(DISKIMG_OK, convert_to_path(image, path, &options, NULL, &error));
        CHECK(stat(path, &there) == 0);
        CHECK((uint64_t)there.st_size <= required && required <= full);
        unlink(path);
    }
    diskimg_close(image);
}

static int append(void *user, const void *buf, size_t len) {
    memory *file = user;
    return memory_pwrite(file, buf, len, file->length);
}

static int next(void *user, void *buf, size_t len, size_t *nread) {
    memory *file = user;
    size_t left = file->length - (size_t)file->calls;
    *nread = len < left ? len : left;
    memcpy(buf, file->bytes + file->calls, *nread);
    file->calls += (int)*nread;
    return 0;
}

static void disk_converts_to_path_descriptor_callbacks_and_stream(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_convert_result result = DISKIMG_CONVERT_RESULT_INIT;
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *image = open_good("mixed.qcow2"), *other;
    const char *path = in(scratch, "calls.raw");
    memory file;
    diskimg_io io;
    int fd;

    raw.format = DISKIMG_FORMAT_RAW;
    unlink(path);
    GIVES(DISKIMG_OK, convert_to_path(image, path, NULL, &result, &error));
    CHECK(result.virtual_size == diskimg_size(image) && result.written + result.zeros == result.virtual_size);
    GIVES(DISKIMG_OK, diskimg_open_path(path, &raw, &other, &error));
    CHECK(same(image, other));
    diskimg_close(other);
    GIVES(DISKIMG_ERR_EXISTS, convert_to_path(image, path, NULL, NULL, &error));
    options.flags = DISKIMG_CONVERT_OVERWRITE | DISKIMG_CONVERT_COMPRESS;
    options.format = DISKIMG_FORMAT_QCOW2;
    options.settings = "cluster_size=4k";
    GIVES(DISKIMG_OK, convert_to_path(image, path, &options, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_open_path(path, NULL, &other, &error));
    CHECK(same(image, other));
    diskimg_close(other);

    fd = open(path, O_RDWR | O_CLOEXEC);
    GIVES(DISKIMG_OK, convert_to_fd(image, fd, NULL, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_open_fd(fd, &raw, &other, &error));
    CHECK(same(image, other));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_fd(other, fd, NULL, NULL, &error));
    CHECK(same(image, other));
    diskimg_close(other);
    close(fd);

    for (options.format = DISKIMG_FORMAT_RAW; options.format <= DISKIMG_FORMAT_QCOW2; options.format++) {
        options.flags = 0;
        options.settings = NULL;
        file = new_memory();
        io = memory_io(&file);
        GIVES(DISKIMG_OK, convert_to_io(image, &io, &options, &result, &error));
        CHECK(file.closed == 1);
        raw.format = options.format;
        GIVES(DISKIMG_OK, diskimg_open_memory(file.bytes, file.length, &raw, &other, &error));
        CHECK(same(image, other));
        diskimg_close(other);
        free(file.bytes);
    }
    raw.format = DISKIMG_FORMAT_RAW;
    file = new_memory();
    GIVES(DISKIMG_OK, convert_to_stream(image, append, &file, NULL, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_open_memory(file.bytes, file.length, &raw, &other, &error));
    CHECK(same(image, other));
    diskimg_close(other);
    free(file.bytes);
    file = new_memory();
    options.format = DISKIMG_FORMAT_VMDK;
    options.settings = "subformat=streamOptimized";
    GIVES(DISKIMG_OK, convert_to_stream(image, append, &file, &options, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_open_memory(file.bytes, file.length, NULL, &other, &error));
    CHECK(same(image, other));
    diskimg_close(other);
    free(file.bytes);
    options.settings = NULL;
    options.format = DISKIMG_FORMAT_QCOW2;
    GIVES(DISKIMG_ERR_NEEDS_SEEK, convert_to_stream(image, append, &file, &options, NULL, &error));
    unlink(path);
    diskimg_close(image);
}

static void stream_converts_to_every_kind_of_target(void) {
    static const char *const names[] = {"good/v3.qcow2", "good/v3.qcow2.gz", "good/blocks-and-streams.raw.xz",
                                        "good/disk.ova"};
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT, any = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    const char *path = in(scratch, "stream.raw");
    diskimg_image *image, *other;
    memory from, to;
    diskimg_io io;
    size_t i;
    int fd;

    raw.format = DISKIMG_FORMAT_RAW;
    any.flags = DISKIMG_OPEN_ALLOW_RAW;
    options.flags = DISKIMG_CONVERT_OVERWRITE;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        from = load(images, names[i]);
        GIVES(DISKIMG_OK, diskimg_open_memory(from.bytes, from.length, &any, &image, &error));
        to = new_memory();
        io = memory_io(&to);
        GIVES(DISKIMG_OK, convert_stream_to_io(next, &from, &any, &io, NULL, NULL, &error));
        CHECK(to.closed == 1);
        GIVES(DISKIMG_OK, diskimg_open_memory(to.bytes, to.length, &raw, &other, &error));
        CHECK(same(image, other));
        diskimg_close(other);
        from.calls = 0;
        to.length = 0;
        GIVES(DISKIMG_OK, convert_stream_to_stream(next, &from, &any, append, &to, NULL, NULL, &error));
        CHECK(to.length == diskimg_size(image));
        from.calls = 0;
        GIVES(DISKIMG_OK, convert_stream_to_path(next, &from, &any, path, &options, NULL, &error));
        fd = open(path, O_RDWR | O_CLOEXEC);
        from.calls = 0;
        GIVES(DISKIMG_OK, convert_stream_to_fd(next, &from, &any, fd, NULL, NULL, &error));
        GIVES(DISKIMG_OK, diskimg_open_fd(fd, &raw, &other, &error));
        CHECK(same(image, other));
        diskimg_close(other);
        close(fd);
        diskimg_close(image);
        free(to.bytes);
        free(from.bytes);
    }
    unlink(path);
}

static void image_is_created_and_written(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    const char *path = in(scratch, "created.qcow2");
    static unsigned char bytes[100000], back[100000];
    diskimg_writer *writer;
    diskimg_image *image;
    memory file = new_memory();
    diskimg_io io = memory_io(&file);

    memset(bytes, 7, sizeof bytes);
    options.format = DISKIMG_FORMAT_QCOW2;
    unlink(path);
    GIVES(DISKIMG_OK, create_path(path, 1 << 20, &options, &writer, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, sizeof bytes, 12345, &error));
    GIVES(DISKIMG_OK, diskimg_write_zeroes(writer, 20000, 1000, &error));
    GIVES(DISKIMG_ERR_OUT_OF_BOUNDS, diskimg_write(writer, bytes, 2, (1 << 20) - 1, &error));
    diskimg_writer_free(writer);
    CHECK(access(path, F_OK) != 0);
    GIVES(DISKIMG_OK, create_path(path, 1 << 20, &options, &writer, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, sizeof bytes, 12345, &error));
    GIVES(DISKIMG_OK, diskimg_write_zeroes(writer, 20000, 1000, &error));
    GIVES(DISKIMG_OK, diskimg_finish(writer, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_finish(writer, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_write(writer, bytes, 1, 0, &error));
    diskimg_writer_free(writer);
    memset(bytes + 20000 - 12345, 0, 1000);
    GIVES(DISKIMG_OK, diskimg_open_path(path, NULL, &image, &error));
    GIVES(DISKIMG_OK, diskimg_pread(image, back, sizeof back, 12345, NULL, &error));
    CHECK(memcmp(back, bytes, sizeof back) == 0);
    diskimg_close(image);
    unlink(path);
    GIVES(DISKIMG_OK, create_io(&io, 4096, NULL, &writer, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, 10, 4086, &error));
    GIVES(DISKIMG_OK, diskimg_finish(writer, &error));
    CHECK(file.closed == 1 && file.length == 4096 && file.bytes[4095] == 7);
    diskimg_writer_free(writer);
    free(file.bytes);
    file = new_memory();
    io.set_size = NULL;
    GIVES(DISKIMG_OK, create_io(&io, 4096, NULL, &writer, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, 10, 100, &error));
    GIVES(DISKIMG_OK, diskimg_finish(writer, &error));
    CHECK(file.length == 4096 && file.bytes[109] == 7 && file.bytes[4095] == 0);
    diskimg_writer_free(writer);
    free(file.bytes);
}

static int painted(void *user, void *buf, size_t len, size_t *nread) {
    uint64_t *left = user;
    *nread = *left < len ? (size_t)*left : len;
    memset(buf, 7, *nread);
    if (*nread > 8192) {
        memset(buf, 0, 8192);
    }
    *left -= *nread;
    return 0;
}

static void conversion_options_apply_to_a_stream(void) {
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_convert_result result = DISKIMG_CONVERT_RESULT_INIT;
    static const struct { uint32_t flags; uint64_t sparse_size; bool holes; } cases[] = {
        {0, 0, true},
        {DISKIMG_CONVERT_NO_SPARSE, 0, false},
        {0, 1 << 20, false},
        {0, 4096, true},
    };
    size_t i;

    raw.format = DISKIMG_FORMAT_RAW;
    for (i = 0; i < 4; i++) {
        uint64_t left = 3 << 20;
        memory to = new_memory();
        diskimg_io io = memory_io(&to);
        options.flags = cases[i].flags;
        options.sparse_size = cases[i].sparse_size;
        GIVES(DISKIMG_OK, convert_stream_to_io(painted, &left, &raw, &io, &options, &result, &error));
        CHECK(result.virtual_size == 3 << 20 && result.written + result.zeros == result.virtual_size);
        CHECK((result.zeros > 0) == cases[i].holes);
        free(to.bytes);
    }
}

static int enough(void *user, uint64_t done, uint64_t total) {
    ++*(int *)user;
    return total == 0 && done > 20 << 20;
}

static void progress_stops_an_endless_stream(void) {
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    uint64_t left = UINT64_MAX;
    const char *path = in(scratch, "endless");
    int calls = 0;

    raw.format = DISKIMG_FORMAT_RAW;
    options.progress = enough;
    options.progress_user = &calls;
    for (options.format = DISKIMG_FORMAT_RAW; options.format <= DISKIMG_FORMAT_QCOW2; options.format++) {
        GIVES(DISKIMG_ERR_CANCELLED,
              convert_stream_to_path(painted, &left, &raw, path, &options, NULL, &error));
        CHECK(access(path, F_OK) != 0);
    }
    CHECK(calls > 4);
}

static void whole_unit_is_compressed_and_parts_are_not(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    static unsigned char bytes[65536], back[65536];
    const char *path = in(scratch, "units.qcow2");
    diskimg_extent runs[3];
    diskimg_writer *writer;
    diskimg_image *image;
    size_t count;

    memset(bytes, 7, sizeof bytes);
    options.format = DISKIMG_FORMAT_QCOW2;
    options.flags = DISKIMG_CONVERT_COMPRESS | DISKIMG_CONVERT_OVERWRITE;
    GIVES(DISKIMG_OK, create_path(path, 1 << 20, &options, &writer, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, 4096, 0, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, 4096, 2048, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, sizeof bytes, 65536, &error));
    GIVES(DISKIMG_OK, diskimg_finish(writer, &error));
    diskimg_writer_free(writer);
    GIVES(DISKIMG_OK, diskimg_open_path(path, NULL, &image, &error));
    GIVES(DISKIMG_OK, diskimg_extents(image, 0, 131072, runs, 3, &count, &error));
    CHECK(count == 2 && !(runs[0].flags & DISKIMG_EXTENT_COMPRESSED) && runs[1].flags & DISKIMG_EXTENT_COMPRESSED);
    GIVES(DISKIMG_OK, diskimg_pread(image, back, sizeof back, 65536, NULL, &error));
    CHECK(memcmp(back, bytes, sizeof back) == 0);
    diskimg_close(image);

    GIVES(DISKIMG_OK, create_path(path, 1 << 20, &options, &writer, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, sizeof bytes, 65536, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_write(writer, bytes, 4096, 65536, &error));
    diskimg_writer_free(writer);
    options.settings = "subformat=streamOptimized";
    options.format = DISKIMG_FORMAT_VMDK;
    GIVES(DISKIMG_OK, create_path(path, 1 << 20, &options, &writer, &error));
    GIVES(DISKIMG_OK, diskimg_write(writer, bytes, 4096, 65536, &error));
    GIVES(DISKIMG_ERR_NEEDS_SEEK, diskimg_write(writer, bytes, 4096, 0, &error));
    diskimg_writer_free(writer);
    unlink(path);
}

/* An existing image at a path or descriptor is rewritten with its own size, if it is empty. */
static void existing_image_keeps_its_size(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *image = open_good("mixed.qcow2"), *other;
    uint64_t size = diskimg_size(image);
    const char *path = in(scratch, "existing.qcow2");
    diskimg_writer *writer;
    struct stat before, after;
    int fd;

    for (int by_path = 0; by_path < 2; by_path++) {
        unlink(path);
        options.format = DISKIMG_FORMAT_QCOW2;
        options.flags = 0;
        GIVES(DISKIMG_OK, create_path(path, size + (1 << 20), &options, &writer, &error));
        GIVES(DISKIMG_OK, diskimg_finish(writer, &error));
        diskimg_writer_free(writer);
        fd = open(path, O_RDWR | O_CLOEXEC);
        options.flags = DISKIMG_CONVERT_IN_PLACE;
        if (by_path) {
            GIVES(DISKIMG_OK, convert_to_path(image, path, &options, NULL, &error));
        } else {
            GIVES(DISKIMG_OK, convert_to_fd(image, fd, &options, NULL, &error));
        }
        GIVES(DISKIMG_OK, diskimg_open_path(path, NULL, &other, &error));
        CHECK(diskimg_size(other) == size + (1 << 20));
        diskimg_close(other);
        CHECK(fstat(fd, &before) == 0);
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_path(image, path, &options, NULL, &error));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_fd(image, fd, &options, NULL, &error));
        CHECK(fstat(fd, &after) == 0 && before.st_size == after.st_size);
        options.format = DISKIMG_FORMAT_RAW;
        CHECK(ftruncate(fd, (off_t)size + 4096) == 0);
        GIVES(DISKIMG_OK, convert_to_fd(image, fd, &options, NULL, &error));
        CHECK(fstat(fd, &after) == 0 && (uint64_t)after.st_size == size + 4096);
        close(fd);
    }
    unlink(path);
    diskimg_close(image);
}

static void all(void) {
    existing_image_keeps_its_size();
    measured_size_equals_the_size_written();
    disk_converts_to_path_descriptor_callbacks_and_stream();
    stream_converts_to_every_kind_of_target();
    image_is_created_and_written();
    conversion_options_apply_to_a_stream();
    progress_stops_an_endless_stream();
    whole_unit_is_compressed_and_parts_are_not();
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
