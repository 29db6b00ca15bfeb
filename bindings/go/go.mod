module github.com/diskimg/diskimg/bindings/go

go 1.19
