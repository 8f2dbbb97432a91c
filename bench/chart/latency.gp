# Jobs per second, 1,000 in flight at 500 ms a call (more is better)
# rows: ^1,000 in flight at 500 ms$
set title "Jobs per second, 1,000 in flight at 500 ms a call (more is better)" left offset -26, 0
plot data using ($2 / 2):0:($2 / 2):(0.35):(colour($3)):ytic(1) with boxxyerror linecolor rgb variable, \
     data using 2:0:(figure($2)) with labels left offset character 0.6, 0
