import json, random
import pandas as pd
random.seed(20261127)
rules={"1m":"1min","5m":"5min","15m":"15min","90m":"90min","4h":"4h","30s":"30s","1d":"D","1w":"W-MON","1M":"MS"}
zones=["UTC","America/New_York","Europe/London","Asia/Kolkata","Australia/Lord_Howe","America/Sao_Paulo","Asia/Shanghai"]
def z(t): 
    t=t.tz_convert("UTC"); return t.strftime("%Y-%m-%dT%H:%M:%S")+"Z"
out=[]
for name,rule in rules.items():
    below = name not in ("1d","1w","1M")
    for zone in (["UTC"] if below else zones):
        n=30 if below else 45
        for i in range(n):
            # half of the times lie near changes of clocks
            if not below and i%2:
                d=random.choice(["2024-03-10","2024-11-03","2013-11-03","2018-11-04","2018-02-18","2024-03-31","2024-10-27","2024-04-07","2024-10-06","2024-02-29","2023-12-31","2024-01-01"])
                t=pd.Timestamp(d,tz="UTC")+pd.Timedelta(seconds=random.randrange(-86400,2*86400))
            else:
                t=pd.Timestamp(random.randrange(0,2000000000),unit="s",tz="UTC")
            local=t.tz_convert(zone)
            s=pd.Series([1.0],index=pd.DatetimeIndex([local]))
            kw=dict(closed="left",label="left")
            if name in("1d","1w","1M"):
                try: r=s.resample(rule,**kw).sum()
                except Exception as e: continue   # pandas refuses midnights that do not exist
            else:
                r=s.resample(rule,origin="epoch",**kw).sum()
            r=r[r>0]
            open_=r.index[0]
            # the end is the label of the next bucket
            off=pd.tseries.frequencies.to_offset(rule)
            try:
                end = open_+off if name!="1d" else (open_.tz_localize(None)+pd.Timedelta(days=1)).tz_localize(zone,nonexistent="shift_forward")
            except Exception as e: continue
            if not (open_<=local<end): 
                print("odd",name,zone,local,open_,end); continue
            out.append([name,zone,z(t),z(open_),z(end)])
json.dump(out,open('buckets.json','w'),separators=(',',':'))
print(len(out), pd.__version__)
