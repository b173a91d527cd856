module example.com/sluice-consumer

go 1.22
