/* Compiles the header alone as strict C99 and C++11, with the initialiser of each structure. */
#include <diskimg.h>

int main(void) {
    diskimg_io io = DISKIMG_IO_INIT;
    diskimg_open_options open_options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options convert_options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_convert_result convert_result = DISKIMG_CONVERT_RESULT_INIT;
    diskimg_check_result check_result = DISKIMG_CHECK_RESULT_INIT;
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_reference reference = DISKIMG_REFERENCE_INIT;
    diskimg_snapshot snapshot = DISKIMG_SNAPSHOT_INIT;
    diskimg_finding finding = DISKIMG_FINDING_INIT;
    size_t sum = io.struct_size + open_options.struct_size + convert_options.struct_size;

    sum += convert_result.struct_size + check_result.struct_size + info.struct_size;
    sum += reference.struct_size + snapshot.struct_size + finding.struct_size;
    return sum == 0;
}
