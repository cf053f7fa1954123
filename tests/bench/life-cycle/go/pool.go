// SPDX-License-Identifier: GPL-2.0

// What a Get and a Put of a sync.Pool cost: prints picoseconds for both.
//
//	usage: pool OBJECTS PAIRS
//
// OBJECTS are taken before as many are put back, up to 16.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

type thing [64]byte

var pool = sync.Pool{New: func() any { return new(thing) }}

func pairs(n, count int) {
	var object [16]any
	for i := 0; i < count; i += n {
		for j := 0; j < n; j++ {
			object[j] = pool.Get()
		}
		for j := 0; j < n; j++ {
			pool.Put(object[j])
		}
	}
}

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	count, _ := strconv.Atoi(os.Args[2])
	pairs(n, 10000)
	begin := time.Now()
	pairs(n, count)
	fmt.Printf("ps=%d ", time.Since(begin).Nanoseconds()*1000/int64(count))
}
