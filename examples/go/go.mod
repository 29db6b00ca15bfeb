module example.com/diskimg

go 1.19

require github.com/diskimg/diskimg/bindings/go v0.1.0

replace github.com/diskimg/diskimg/bindings/go => ../../bindings/go
