/* Normal use: open, describe, read, check and probe. Arguments: the images of the repository and a scratch directory; or
 * "version". */
#include "images.h"

static void image_opens_by_path_descriptor_memory_and_callbacks(void) {
    diskimg_image *by_path = open_good("mixed.qcow2"), *other;
    memory file = load(images, "good/mixed.qcow2");
    diskimg_io io = memory_io(&file);
    int fd = open(in(images, "good/mixed.qcow2"), O_RDONLY | O_CLOEXEC);

    CHECK(lseek(fd, 17, SEEK_SET) == 17);
    GIVES(DISKIMG_OK, diskimg_open_fd(fd, NULL, &other, &error));
    CHECK(lseek(fd, 0, SEEK_CUR) == 17);
    CHECK(close(fd) == 0);
    CHECK(same(by_path, other));
    diskimg_close(other);

    GIVES(DISKIMG_OK, diskimg_open_memory(file.bytes, file.length, NULL, &other, &error));
    CHECK(same(by_path, other));
    diskimg_close(other);

    GIVES(DISKIMG_OK, diskimg_open_io(&io, NULL, &other, &error));
    CHECK(same(by_path, other));
    CHECK(file.closed == 0);
    diskimg_close(other);
    CHECK(file.closed == 1);
    free(file.bytes);
    diskimg_close(by_path);
}

static void compressed_image_opens_from_every_kind_of_source(void) {
    diskimg_image *plain = open_good("v3.qcow2"), *packed = open_good("v3.qcow2.gz"), *other;
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_info info = DISKIMG_INFO_INIT;
    memory file = load(images, "good/v3.qcow2.gz");

    CHECK(same(plain, packed));
    GIVES(DISKIMG_OK, diskimg_get_info(packed, &info, &error));
    CHECK(info.wrapper == DISKIMG_WRAPPER_GZIP && info.format == DISKIMG_FORMAT_QCOW2);
    CHECK(info.file_size == file.length);
    GIVES(DISKIMG_OK, diskimg_open_memory(file.bytes, file.length, NULL, &other, &error));
    CHECK(same(plain, other));
    diskimg_close(other);
    options.flags = DISKIMG_OPEN_NO_TEMPORARY;
    GIVES(DISKIMG_ERR_NEEDS_SEEK, diskimg_open_memory(file.bytes, file.length, &options, &other, &error));
    CHECK(other == NULL);
    options.flags = DISKIMG_OPEN_NO_UNWRAP;
    GIVES(DISKIMG_ERR_UNSUPPORTED, diskimg_open_memory(file.bytes, file.length, &options, &other, &error));
    free(file.bytes);
    diskimg_close(packed);
    diskimg_close(plain);
}

static int refuse(void *user, uint32_t role, const char *name, diskimg_io *out) {
    (void)out;
    CHECK(role == DISKIMG_ROLE_BACKING && name[0] != '\0');
    ++*(int *)user;
    return EACCES;
}

static int serve(void *user, uint32_t role, const char *name, diskimg_io *out) {
    memory *files = user;
    (void)role;
    CHECK(out->struct_size == sizeof *out);
    *out = memory_io(strstr(name, "middle") != NULL ? &files[0] : &files[1]);
    return 0;
}

static void references_are_followed_only_as_the_caller_allows(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    const char *path = in(images, "good/chain-top.qcow2");
    diskimg_reference reference = DISKIMG_REFERENCE_INIT;
    diskimg_image *followed, *other;
    memory files[2];
    int asked = 0, directory = open(in(images, "good"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int top = open(path, O_RDONLY | O_CLOEXEC);

    GIVES(DISKIMG_ERR_REFERENCE, diskimg_open_path(path, NULL, &followed, &error));
    CHECK(followed == NULL);
    options.flags = DISKIMG_OPEN_INFO_ONLY;
    GIVES(DISKIMG_OK, diskimg_open_path(path, &options, &other, &error));
    CHECK(diskimg_reference_count(other) == 1);
    GIVES(DISKIMG_OK, diskimg_get_reference(other, 0, &reference, &error));
    CHECK(reference.role == DISKIMG_ROLE_BACKING && strlen(reference.name) == reference.name_length);
    CHECK(strcmp(reference.format, "qcow2") == 0 && reference.offset_known == 1);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_get_reference(other, 1, &reference, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_pread(other, files, 1, 0, NULL, &error));
    diskimg_close(other);

    options.flags = DISKIMG_OPEN_REFERENCES;
    GIVES(DISKIMG_OK, diskimg_open_path(path, &options, &followed, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_fd(top, &options, &other, &error));
    options.flags |= DISKIMG_OPEN_DIR_FD;
    options.dir_fd = directory;
    GIVES(DISKIMG_OK, diskimg_open_fd(top, &options, &other, &error));
    CHECK(same(followed, other));
    diskimg_close(other);

    options.flags = 0;
    options.resolve = refuse;
    options.resolve_user = &asked;
    GIVES(DISKIMG_ERR_REFERENCE, diskimg_open_path(path, &options, &other, &error));
    CHECK(asked == 1);
    files[0] = load(images, "good/chain-middle.qcow2");
    files[1] = load(images, "good/chain-base.qcow2");
    options.resolve = serve;
    options.resolve_user = files;
    GIVES(DISKIMG_OK, diskimg_open_path(path, &options, &other, &error));
    CHECK(same(followed, other));
    diskimg_close(other);
    CHECK(files[0].closed == 1 && files[1].closed == 1);
    free(files[0].bytes);
    free(files[1].bytes);
    diskimg_close(followed);
    close(directory);
    close(top);
}

static void reads_are_short_only_at_the_end(void) {
    diskimg_image *image = open_good("odd-size.qcow2");
    uint64_t size = diskimg_size(image);
    unsigned char *all = malloc((size_t)size), part[100];
    size_t read = 0;

    CHECK(all != NULL);
    GIVES(DISKIMG_OK, diskimg_pread(image, all, (size_t)size, 0, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_pread(image, part, 100, size - 60, &read, &error));
    CHECK(read == 60 && memcmp(part, all + size - 60, 60) == 0);
    GIVES(DISKIMG_OK, diskimg_pread(image, part, 100, size + 60, &read, &error));
    CHECK(read == 0);
    GIVES(DISKIMG_OK, diskimg_pread(image, part, 100, UINT64_MAX, &read, &error));
    CHECK(read == 0);
    GIVES(DISKIMG_ERR_OUT_OF_BOUNDS, diskimg_pread(image, part, 100, size - 60, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_pread(image, NULL, 0, size, NULL, &error));
    free(all);
    diskimg_close(image);
}

static void extents_tile_the_disk_for_any_room(void) {
    diskimg_image *image = open_good("mixed.qcow2");
    uint64_t size = diskimg_size(image), at;
    diskimg_extent runs[7];
    size_t cap, count, i, total[2] = {0, 0};

    for (cap = 1; cap <= 7; cap += 6) {
        for (at = 0; at < size;) {
            GIVES(DISKIMG_OK, diskimg_extents(image, at, size - at, runs, cap, &count, &error));
            CHECK(count >= 1 && count <= cap);
            for (i = 0; i < count; i++) {
                CHECK(runs[i].start == at && runs[i].length > 0);
                CHECK(!(runs[i].flags & DISKIMG_EXTENT_DATA) == !!(runs[i].flags & DISKIMG_EXTENT_ZERO));
                at += runs[i].length;
                total[cap == 7]++;
            }
        }
        CHECK(at == size);
    }
    CHECK(total[0] == total[1] && total[0] > 3);
    GIVES(DISKIMG_OK, diskimg_extents(image, size, 0, runs, 7, &count, &error));
    CHECK(count == 0);
    GIVES(DISKIMG_ERR_OUT_OF_BOUNDS, diskimg_extents(image, 1, size, runs, 7, &count, &error));
    diskimg_close(image);
}

static void count_log(void *user, int level, const char *message) {
    CHECK(level >= DISKIMG_SEVERITY_NOTE && level <= DISKIMG_SEVERITY_UNSAFE && message[0] != '\0');
    ++*(int *)user;
}

static void description_is_available_as_structures_json_and_log(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_snapshot snapshot = DISKIMG_SNAPSHOT_INIT;
    diskimg_finding finding = DISKIMG_FINDING_INIT;
    diskimg_image *image = open_good("snapshots.qcow2"), *other;
    struct { size_t struct_size; uint32_t format, wrapper; } old = {sizeof old, 77, 77};
    char *json, id[64];
    int logged = 0;

    GIVES(DISKIMG_OK, diskimg_get_info(image, &info, &error));
    CHECK(info.format == DISKIMG_FORMAT_QCOW2 && (info.flags & DISKIMG_INFO_SNAPSHOTS));
    CHECK((info.flags & DISKIMG_INFO_SIZE_KNOWN) && info.virtual_size > 0 && info.cluster_size >= 512);
    GIVES(DISKIMG_OK, diskimg_get_info(image, (diskimg_info *)(void *)&old, &error));
    CHECK(old.struct_size == sizeof old && old.format == DISKIMG_FORMAT_QCOW2 && old.wrapper == 0);
    GIVES(DISKIMG_OK, diskimg_info_json(image, NULL, &json, &error));
    CHECK(strstr(json, "\"virtual-size\"") != NULL && strstr(json, "snapshots.qcow2") != NULL);
    diskimg_string_free(json);
    GIVES(DISKIMG_OK, diskimg_info_json(image, "shown", &json, &error));
    CHECK(strstr(json, "\"filename\":\"shown\"") != NULL);
    diskimg_string_free(json);
    CHECK(diskimg_snapshot_count(image) >= 1);
    GIVES(DISKIMG_OK, diskimg_get_snapshot(image, 0, &snapshot, &error));
    CHECK(strlen(snapshot.id) < sizeof id && snapshot.name != NULL);
    strcpy(id, snapshot.id);
    diskimg_close(image);
    options.snapshot = id;
    GIVES(DISKIMG_OK, diskimg_open_path(in(images, "good/snapshots.qcow2"), &options, &other, &error));
    diskimg_close(other);
    options.snapshot = "absent";
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT,
          diskimg_open_path(in(images, "good/snapshots.qcow2"), &options, &other, &error));

    options.snapshot = NULL;
    options.log = count_log;
    options.log_user = &logged;
    GIVES(DISKIMG_OK, diskimg_open_path(in(images, "good/dirty.qcow2"), &options, &image, &error));
    CHECK(logged >= 1 && (size_t)logged == diskimg_finding_count(image));
    GIVES(DISKIMG_OK, diskimg_get_finding(image, 0, &finding, &error));
    CHECK(finding.check[0] != '\0' && finding.message[0] != '\0');
    diskimg_close(image);
}

static void stream_is_recognised_with_any_chunk_size(void) {
    static const char *const names[] = {"good/v3.qcow2", "good/v3.qcow2.gz", "good/iso9660.iso", "good/mbr.raw",
                                        "good/disk.ova"};
    static const size_t steps[] = {1, 511, 4096, 1 << 20};
    diskimg_info first = DISKIMG_INFO_INIT, info = DISKIMG_INFO_INIT;
    diskimg_probe *probe;
    uint32_t state;
    size_t i, j, at;

    for (i = 0; i < sizeof names / sizeof *names; i++) {
        memory file = load(images, names[i]);
        for (j = 0; j < 4; j++) {
            GIVES(DISKIMG_OK, diskimg_probe_new(NULL, &probe, &error));
            GIVES(DISKIMG_ERR_UNKNOWN_FORMAT, diskimg_probe_info(probe, &info, &error));
            for (at = 0; at < file.length; at += steps[j]) {
                size_t step = steps[j] < file.length - at ? steps[j] : file.length - at;
                GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes + at, step, &state, &error));
                if (state != DISKIMG_PROBE_MORE) {
                    GIVES(DISKIMG_OK, diskimg_probe_info(probe, &info, &error));
                }
            }
            GIVES(DISKIMG_OK, diskimg_probe_finish(probe, &info, &error));
            CHECK(info.flags & DISKIMG_INFO_SIZE_KNOWN);
            if (j == 0) {
                first = info;
            }
            CHECK(info.format == first.format && info.wrapper == first.wrapper);
            CHECK(info.virtual_size == first.virtual_size && info.flags == first.flags);
            info.flags = 0;
            GIVES(DISKIMG_OK, diskimg_probe_finish(probe, &info, &error));
            CHECK(info.virtual_size == first.virtual_size && info.flags == first.flags);
            diskimg_probe_free(probe);
        }
        free(file.bytes);
    }
}

static void probe_reports_its_error_at_each_call(void) {
    memory file = load(images, "bad/q22-l1-unaligned.qcow2");
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_probe *probe;

    GIVES(DISKIMG_OK, diskimg_probe_new(NULL, &probe, &error));
    GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes, file.length, NULL, &error));
    GIVES(DISKIMG_ERR_CORRUPT, diskimg_probe_finish(probe, &info, &error));
    GIVES(DISKIMG_ERR_CORRUPT, diskimg_probe_finish(probe, NULL, &error));
    GIVES(DISKIMG_ERR_CORRUPT, diskimg_probe_info(probe, &info, &error));
    diskimg_probe_free(probe);
    free(file.bytes);
}

static int problem(void *user, int kind, uint64_t offset, const char *message) {
    (void)kind, (void)offset, (void)message;
    ++*(int *)user;
    return 0;
}

static void check_is_unsupported_where_the_build_has_none(void) {
    diskimg_check_result result = DISKIMG_CHECK_RESULT_INIT;
    diskimg_image *image = open_good("v3.qcow2");
    int calls = 0;

    if (diskimg_format_caps(DISKIMG_FORMAT_QCOW2) & DISKIMG_CAN_CHECK) {
        GIVES(DISKIMG_OK, check_image(image, problem, &calls, NULL, &result, &error));
        CHECK(result.corruptions == 0 && calls == 0);
    } else {
        GIVES(DISKIMG_ERR_UNSUPPORTED, check_image(image, problem, &calls, NULL, &result, &error));
    }
    diskimg_close(image);
}

static void errors_have_message_offset_and_errno(void) {
    diskimg_error *error;
    diskimg_image *image;
    uint64_t offset = 0;

    CHECK(diskimg_open_path("/absent/file", NULL, &image, &error) == DISKIMG_ERR_IO);
    CHECK(diskimg_error_os_code(error) == ENOENT && strstr(diskimg_error_message(error), "/absent/file") != NULL);
    CHECK(!diskimg_error_offset(error, &offset) && !diskimg_error_guest_offset(error, NULL));
    diskimg_error_free(error);
    CHECK(diskimg_open_path(in(images, "bad/q22-l1-unaligned.qcow2"), NULL, &image, &error) == DISKIMG_ERR_CORRUPT);
    CHECK(image == NULL && diskimg_error_offset(error, &offset) && offset == 40);
    CHECK(diskimg_error_offset(error, NULL));
    diskimg_error_free(error);
    CHECK(diskimg_open_path(in(images, "bad/q14-backing-absolute.qcow2"), NULL, &image, &error) ==
          DISKIMG_ERR_REFERENCE);
    CHECK(diskimg_error_hint(error) != NULL);
    diskimg_error_free(error);
    CHECK(diskimg_open_path("/absent/file", NULL, &image, NULL) == DISKIMG_ERR_IO);
}

static void *reader(void *image) {
    unsigned char buf[4096];
    uint64_t at, size = diskimg_size(image), sum = 0;
    size_t i, read;

    for (at = 0; at < size; at += read) {
        CHECK(diskimg_pread(image, buf, sizeof buf, at, &read, NULL) == DISKIMG_OK);
        for (i = 0; i < read; i++) {
            sum = sum * 31 + buf[i];
        }
    }
    return (void *)(uintptr_t)sum;
}

static void many_threads_read_one_image(void) {
    diskimg_image *image = open_good("mixed.qcow2");
    void *expected = reader(image), *got;
    pthread_t threads[8];
    int i;

    for (i = 0; i < 8; i++) {
        CHECK(pthread_create(&threads[i], NULL, reader, image) == 0);
    }
    for (i = 0; i < 8; i++) {
        CHECK(pthread_join(threads[i], &got) == 0);
        CHECK(got == expected);
    }
    diskimg_close(image);
}

static void names_and_numbers_agree(void) {
    diskimg_format format;
    char version[32];
    uint32_t number = diskimg_version_number();

    snprintf(version, sizeof version, "%u.%u.%u", number >> 16, number >> 8 & 255, number & 255);
    CHECK(strcmp(version, diskimg_version_string()) == 0);
    CHECK(number == (DISKIMG_VERSION_MAJOR << 16 | DISKIMG_VERSION_MINOR << 8 | DISKIMG_VERSION_PATCH));
    for (format = DISKIMG_FORMAT_RAW; format <= DISKIMG_FORMAT_VDI; format++) {
        CHECK(diskimg_format_by_name(diskimg_format_name(format)) == format);
    }
    CHECK(diskimg_format_name(DISKIMG_FORMAT_AUTO) == NULL && diskimg_format_name(1000) == NULL);
    CHECK(diskimg_format_by_name("floppy") == DISKIMG_FORMAT_AUTO);
    CHECK(diskimg_format_caps(DISKIMG_FORMAT_QCOW2) & DISKIMG_CAN_CREATE);
    CHECK(diskimg_format_caps(DISKIMG_FORMAT_RAW) & DISKIMG_CAN_STREAM);
    CHECK(diskimg_format_caps(1000) == 0);
    CHECK(strcmp(diskimg_status_name(DISKIMG_ERR_CORRUPT), "corrupt") == 0);
    CHECK(strcmp(diskimg_status_name(-5), "unknown") == 0);
}

static void all(void) {
    names_and_numbers_agree();
    image_opens_by_path_descriptor_memory_and_callbacks();
    compressed_image_opens_from_every_kind_of_source();
    references_are_followed_only_as_the_caller_allows();
    reads_are_short_only_at_the_end();
    extents_tile_the_disk_for_any_room();
    description_is_available_as_structures_json_and_log();
    stream_is_recognised_with_any_chunk_size();
    probe_reports_its_error_at_each_call();
    check_is_unsupported_where_the_build_has_none();
    errors_have_message_offset_and_errno();
    many_threads_read_one_image();
}

int main(int argc, char **argv) {
    if (argc == 2) {
        puts(diskimg_version_string());
        return 0;
    }
    return run(argc, argv, all);
}
