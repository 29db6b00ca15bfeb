module example.com/diskimg

go 1.19
