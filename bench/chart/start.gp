# Process start to first job, ms (less is better)
# rows: ^start to first job$
set title "Process start to first job, ms (less is better)" left offset -26, 0
plot data using ($2 / 2):0:($2 / 2):(0.35):(colour($3)):ytic(1) with boxxyerror linecolor rgb variable, \
     data using 2:0:(figure($2)) with labels left offset character 0.6, 0
