/* Every image of the repository, good and bad: no function returns a status that the header does not list. Arguments: the
 * images of the repository, and a scratch directory. */
#include "images.h"

/* Checks the status of a call, whatever it is. */
#define TRY(call)                                \
    do {                                         \
        diskimg_error *error = NULL;             \
        diskimg_status status = (call);          \
        check_listed(#call, status);             \
        CHECK(status == diskimg_error_status(error)); \
        diskimg_error_free(error);               \
    } while (0)

static int discard(void *user, const void *buf, size_t len) {
    (void)user, (void)buf, (void)len;
    return 0;
}

static int discard_at(void *user, const void *buf, size_t len, uint64_t offset) {
    (void)user, (void)buf, (void)len, (void)offset;
    return 0;
}

static int set_size(void *user, uint64_t bytes) {
    (void)user, (void)bytes;
    return 0;
}

/* Reads and converts the disk, unless it is large. */
static void use_disk(const diskimg_image *image) {
    static unsigned char buf[1 << 16];
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_io io = DISKIMG_IO_INIT;
    diskimg_extent runs[64];
    uint64_t required, size = diskimg_size(image);
    size_t count;
    bool same;

    io.pwrite = discard_at;
    io.set_size = set_size;
    TRY(diskimg_extents(image, 0, size, runs, 64, &count, &error));
    TRY(diskimg_pread(image, buf, sizeof buf, 0, &count, &error));
    TRY(diskimg_pread(image, buf, sizeof buf, size / 2, &count, &error));
    TRY(diskimg_pread(image, buf, sizeof buf, size, NULL, &error));
    TRY(diskimg_check(image, NULL, NULL, &error));
    options.format = DISKIMG_FORMAT_QCOW2;
    TRY(diskimg_measure(image, &options, &required, NULL, &error));
    if (size > 4 << 20) {
        return;
    }
    TRY(convert_to_stream(image, discard, NULL, NULL, NULL, &error));
    TRY(convert_to_io(image, &io, &options, NULL, &error));
    options.format = DISKIMG_FORMAT_VDI;
    TRY(convert_to_io(image, &io, &options, NULL, &error));
    TRY(diskimg_compare(image, image, NULL, &same, NULL, &error));
}

static void use_file(const char *path, const memory *file, uint32_t flags) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_image *image;
    diskimg_probe *probe;
    memory_stream from = {NULL, 0};
    char *json = NULL;

    options.flags = flags;
    options.threads = 1;
    options.limits = "virtual-size=1T,temporary-files=16M";
    TRY(diskimg_open_path(path, &options, &image, &error));
    if (image != NULL) {
        TRY(diskimg_get_info(image, &info, &error));
        TRY(diskimg_info_json(image, NULL, &json, &error));
        diskimg_string_free(json);
        if (!(flags & DISKIMG_OPEN_INFO_ONLY)) {
            use_disk(image);
        }
    }
    diskimg_close(image);
    options.flags &= ~(uint32_t)(DISKIMG_OPEN_REFERENCES | DISKIMG_OPEN_INFO_ONLY);
    TRY(diskimg_open_memory(file->bytes, file->length, &options, &image, &error));
    diskimg_close(image);
    GIVES(DISKIMG_OK, diskimg_probe_new(&options, &probe, &error));
    TRY(diskimg_probe_push(probe, file->bytes, file->length / 2, NULL, &error));
    TRY(diskimg_probe_info(probe, &info, &error));
    TRY(diskimg_probe_push(probe, file->bytes + file->length / 2, file->length - file->length / 2, NULL, &error));
    TRY(diskimg_probe_finish(probe, &info, &error));
    TRY(diskimg_probe_info_json(probe, NULL, &json, &error));
    diskimg_string_free(json);
    diskimg_probe_free(probe);
    from.file = file;
    TRY(convert_stream_to_stream(memory_next, &from, &options, discard, NULL, NULL, NULL, &error));
}

static void all(void) {
    static const char *const directories[] = {"good", "bad"};
    static const uint32_t flags[] = {DISKIMG_OPEN_REFERENCES, DISKIMG_OPEN_INFO_ONLY, DISKIMG_OPEN_ALLOW_RAW,
                                     DISKIMG_OPEN_STRICT};
    size_t i, j;

    CHECK(getenv("ERRORS") != NULL);
    for (i = 0; i < 2; i++) {
        DIR *directory = opendir(in(images, directories[i]));
        const struct dirent *entry;
        CHECK(directory != NULL);
        while ((entry = readdir(directory)) != NULL) {
            char path[5000], name[512];
            memory file;
            if (entry->d_name[0] == '.') {
                continue;
            }
            snprintf(name, sizeof name, "%s/%s", directories[i], entry->d_name);
            file = load(images, name);
            snprintf(path, sizeof path, "%s/%s", images, name);
            for (j = 0; j < sizeof flags / sizeof *flags; j++) {
                use_file(path, &file, flags[j]);
            }
            free(file.bytes);
        }
        closedir(directory);
    }
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
