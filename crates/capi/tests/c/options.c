/* Options that refuse or accept unusual images, and the locks of other processes. Arguments: the images of the
 * repository, and a scratch directory. */
#define _GNU_SOURCE
#include "images.h"
#include <fcntl.h>
#include <sys/stat.h>

static diskimg_status opens(const char *path, uint32_t flags) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *image;
    diskimg_error *error;
    diskimg_status status;

    options.flags = flags;
    status = diskimg_open_path(path, &options, &image, &error);
    diskimg_error_free(error);
    diskimg_close(image);
    return status;
}

static void count_warning(void *user, int level, const char *message) {
    CHECK(message[0] != '\0');
    if (level == DISKIMG_SEVERITY_WARNING) {
        ++*(int *)user;
    }
}

static void strict_opening_refuses_a_warning(void) {
    CHECK(opens(in(images, "good/last-cluster-cut.qcow2"), 0) == DISKIMG_OK);
    CHECK(opens(in(images, "good/last-cluster-cut.qcow2"), DISKIMG_OPEN_STRICT) == DISKIMG_ERR_CORRUPT);
    CHECK(opens(in(images, "good/mixed.qcow2"), DISKIMG_OPEN_STRICT) == DISKIMG_OK);
}

/* Information, a description of a stream, and a check: every one refuses a disk larger than the limit. */
static void largest_disk_is_a_limit_however_the_image_is_asked_for(void) {
    static const char *const names[] = {"mixed.qcow2", "zstd.qcow2"};
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    size_t i, chunk;
    int flags;

    for (i = 0; i < sizeof names / sizeof *names; i++) {
        const char *good = in(images, "good");
        memory file = load(good, names[i]);
        char path[4096];
        diskimg_image *image = open_good(names[i]);
        uint64_t size = diskimg_size(image);
        diskimg_close(image);
        snprintf(path, sizeof path, "%s/good/%s", images, names[i]);
        for (flags = 0; flags < 2; flags++) {
            diskimg_error *error;
            options.flags = flags ? DISKIMG_OPEN_INFO_ONLY : 0;
            options.max_virtual_size = size;
            GIVES(DISKIMG_OK, diskimg_open_path(path, &options, &image, &error));
            diskimg_close(image);
            options.max_virtual_size = size - 1;
            CHECK(diskimg_open_path(path, &options, &image, &error) == DISKIMG_ERR_LIMIT);
            CHECK(strcmp(diskimg_error_limit(error), "virtual-size") == 0);
            CHECK(strcmp(diskimg_error_format(error), "qcow2") == 0);
            CHECK(diskimg_error_fault(error) == DISKIMG_FAULT_IMAGE);
            diskimg_error_free(error);
        }
        for (chunk = 1000; chunk <= file.length; chunk = chunk < file.length ? file.length : chunk + 1) {
            diskimg_probe *probe;
            diskimg_info info = DISKIMG_INFO_INIT;
            uint32_t state = DISKIMG_PROBE_MORE;
            size_t at;
            options.flags = 0;
            GIVES(DISKIMG_OK, diskimg_probe_new(&options, &probe, &error));
            for (at = 0; at < file.length; at += chunk) {
                size_t len = file.length - at < chunk ? file.length - at : chunk;
                GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes + at, len, &state, &error));
            }
            GIVES(DISKIMG_ERR_LIMIT, diskimg_probe_finish(probe, &info, &error));
            GIVES(DISKIMG_ERR_LIMIT, diskimg_probe_info(probe, &info, &error));
            diskimg_probe_free(probe);
        }
        free(file.bytes);
    }
}

static int read_file(void *user, void *buf, size_t len, size_t *nread) {
    *nread = fread(buf, 1, len, user);
    return 0;
}

static void findings_at_the_end_of_a_stream_are_logged_or_refused(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    int strict, warnings = 0;

    options.log = count_warning;
    options.log_user = &warnings;
    options.flags = DISKIMG_OPEN_ALLOW_RAW;
    for (strict = 0; strict < 2; strict++) {
        FILE *file = fopen(in(images, "good/metadata-after.raw.gz"), "rb");
        memory target = new_memory();
        diskimg_io io = memory_io(&target);
        CHECK(file != NULL);
        GIVES(strict ? DISKIMG_ERR_CORRUPT : DISKIMG_OK,
              convert_stream_to_io(read_file, file, &options, &io, NULL, NULL, &error));
        CHECK(warnings == 1);
        free(target.bytes);
        fclose(file);
        options.flags |= DISKIMG_OPEN_STRICT;
    }
}

static void part_of_a_disk_is_read_only_if_allowed(void) {
    diskimg_convert_options split = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *image = open_good("mixed.qcow2");

    split.format = DISKIMG_FORMAT_VMDK;
    split.settings = "subformat=twoGbMaxExtentSparse";
    GIVES(DISKIMG_OK, convert_to_path(image, in(scratch, "split.vmdk"), &split, NULL, &error));
    CHECK(opens(in(scratch, "split-s001.vmdk"), 0) == DISKIMG_ERR_REFERENCE);
    CHECK(opens(in(scratch, "split-s001.vmdk"), DISKIMG_OPEN_ALLOW_PART) == DISKIMG_OK);
    CHECK(opens(in(scratch, "split.vmdk"), DISKIMG_OPEN_REFERENCES) == DISKIMG_OK);
    unlink(in(scratch, "split.vmdk"));
    unlink(in(scratch, "split-s001.vmdk"));
    diskimg_close(image);
}

static void limits_are_set_by_name(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *image;

    options.limits = "virtual-size=512";
    GIVES(DISKIMG_ERR_LIMIT, diskimg_open_path(in(images, "good/mixed.qcow2"), &options, &image, &error));
    options.limits = "virtual-size=1T,snapshots=10";
    GIVES(DISKIMG_OK, diskimg_open_path(in(images, "good/mixed.qcow2"), &options, &image, &error));
    diskimg_close(image);
    options.limits = "no-such-limit=1";
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(in(images, "good/mixed.qcow2"), &options, &image, &error));
}

static void member_of_an_archive_is_opened_by_name(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *image;

    options.member = "no such member";
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(in(images, "good/disk.ova"), &options, &image, &error));
    CHECK(opens(in(images, "good/disk.ova"), 0) == DISKIMG_OK);
}

/* Takes the lock by which QEMU reports that it writes an image: byte 101 of the file. */
static int lock_for_writing(const char *path) {
    struct flock lock = {0};
    int fd = open(path, O_RDWR);

    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 101;
    lock.l_len = 1;
    CHECK(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
    return fd;
}

static void image_that_another_process_writes_is_refused_unless_locks_are_ignored(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *image = open_good("mixed.qcow2");
    const char *path = in(scratch, "locked.qcow2");
    int fd, lock;

    options.format = DISKIMG_FORMAT_QCOW2;
    options.flags = DISKIMG_CONVERT_OVERWRITE;
    GIVES(DISKIMG_OK, convert_to_path(image, path, &options, NULL, &error));
    lock = lock_for_writing(path);
    CHECK(opens(path, 0) == DISKIMG_ERR_IN_USE);
    CHECK(opens(path, DISKIMG_OPEN_IGNORE_LOCKS) == DISKIMG_OK);
    fd = open(path, O_RDONLY);
    {
        diskimg_image *by_descriptor;
        GIVES(DISKIMG_OK, diskimg_open_fd(fd, NULL, &by_descriptor, &error));
        diskimg_close(by_descriptor);
    }
    close(fd);
    GIVES(DISKIMG_ERR_IN_USE, convert_to_path(image, path, &options, NULL, &error));
    options.flags |= DISKIMG_CONVERT_IGNORE_LOCKS;
    GIVES(DISKIMG_OK, convert_to_path(image, path, &options, NULL, &error));
    close(lock);
    unlink(path);
    diskimg_close(image);
}

static void stored_zeros_leave_no_hole(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *image = open_good("mixed.qcow2");
    const char *path = in(scratch, "zeros.raw");
    struct stat there;

    options.flags = DISKIMG_CONVERT_STORE_ZEROS | DISKIMG_CONVERT_WRITE_THROUGH;
    options.rate = (uint64_t)1 << 40;
    GIVES(DISKIMG_OK, convert_to_path(image, path, &options, NULL, &error));
    CHECK(stat(path, &there) == 0 && (uint64_t)there.st_blocks * 512 >= diskimg_size(image));
    unlink(path);
    diskimg_close(image);
}

static void all(void) {
    strict_opening_refuses_a_warning();
    findings_at_the_end_of_a_stream_are_logged_or_refused();
    part_of_a_disk_is_read_only_if_allowed();
    largest_disk_is_a_limit_however_the_image_is_asked_for();
    limits_are_set_by_name();
    member_of_an_archive_is_opened_by_name();
    image_that_another_process_writes_is_refused_unless_locks_are_ignored();
    stored_zeros_leave_no_hole();
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
